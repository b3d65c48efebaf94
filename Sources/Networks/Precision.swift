import Checkpoints
import DenseTensors

/// What a network computes with. Activations are floats between layers in any case; norms and softmax work on them.
public enum Precision: String, CaseIterable, Sendable {
  case float32
  /// Weights are stored as halves, and everything is computed in floats: half the memory.
  case float16
  /// Weights and inputs of matrix products have eight bits of precision; so do the operands of attention. Convolutions
  /// that Winograd's algorithm makes faster work in floats.
  case bfloat16
  /// Weights of 8 bits, each output with a step of its own, and inputs of 8 bits, each pixel with one. What little
  /// would suffer most stays more precise: the first and last convolution, the time embedding, attention's own
  /// products.
  case int8

  /// Half precision as this CPU is fast at it: bfloat16 where it multiplies pairs of them, else float16.
  public static var half: Precision { ThreadPool.multipliesBFloat16 ? .bfloat16 : .float16 }

  /// Of the bulk of a network's weights.
  var weights: WeightFormat {
    switch self {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .int8: .int8
    }
  }

  var attention: AttentionPrecision { self == .bfloat16 || self == .int8 ? .bfloat16 : .float32 }

  /// Of layers that are no burden and whose errors go into everything: products of floats in any case.
  var fewWeights: WeightFormat { self == .float32 ? .float32 : .float16 }

  /// Of networks beside the denoiser, which run once for every image.
  public var aroundDenoiser: Precision { self == .int8 ? .float16 : self }

  /// fp32, fp16, bf16 or int8, as stored formats are called.
  public var shortName: String {
    switch self {
    case .float32: "fp32"
    case .float16: "fp16"
    case .bfloat16: "bf16"
    case .int8: "int8"
    }
  }

  /// By its own name or the short one.
  public init?(named name: String) {
    guard let named = Self.allCases.first(where: { name == $0.rawValue || name == $0.shortName }) else { return nil }
    self = named
  }

  /// What a model that is stored in a format is meant to be computed with.
  public init(_ format: StorageFormat) {
    switch format {
    case .bfloat16: self = .bfloat16
    case .int8: self = .int8
    case .float16, .int8Weights, .q8, .q4: self = .float16
    }
  }
}
