import Fewstep
import Foundation

/// The classifier that judges pictures of the bundled model: what they show, and 64 features for the Fréchet distance.
///
/// Four convolutions of stride 2, a linear layer and one linear head per attribute; trained by
/// Tools/train-glyphs/train_evaluator.py, which also tells how often it errs.
public struct GlyphEvaluator: Sendable {
  private let convolutions: [PackedWeights]
  private let features: PackedWeights
  private let heads: [Attribute: PackedWeights]
  /// The features of real pictures.
  public let statistics: FeatureStatistics

  /// What a head reads from a picture, and how many labels it has.
  enum Attribute: String, CaseIterable {
    case char, fg, bg, bold, italic, serif, degraded

    var labels: Int {
      switch self {
      case .char: 36
      case .fg, .bg: 8
      case .bold, .italic, .serif: 2
      case .degraded: 4
      }
    }
  }

  /// What the evaluator sees in one picture.
  public struct Reading: Sendable {
    let labels: [Attribute: Int]
    /// 64 numbers, after ReLU.
    public let features: [Double]
    /// The mean saturation of the picture's colours, from 0 to 1.
    public let saturation: Double
    /// The share of its values that lay outside [-1, 1] before they were limited.
    public let clipped: Double

    /// Whether it looks blurry, noisy or low in contrast.
    public var isDegraded: Bool { labels[.degraded] != 0 }
  }

  static func resource(_ name: String) -> URL {
    (Bundle.module.resourceURL ?? Bundle.module.bundleURL).appending(path: "Evaluator/\(name)")
  }

  /// - Throws: `CheckpointError` where the package's resources are gone or damaged.
  public init() throws(CheckpointError) {
    let file = try SafetensorsFile(url: Self.resource("evaluator.safetensors"))
    let channels = [3, 32, 64, 128, 128]
    var convolutions: [PackedWeights] = []
    for (index, (input, output)) in zip(channels, channels.dropFirst()).enumerated() {
      convolutions.append(
        PackedWeights(
          try file.floats("conv\(index + 1).weight", shape: [output, input, 3, 3]), outputs: output, channels: input,
          kernel: (3, 3), bias: try file.floats("conv\(index + 1).bias", shape: [output])))
    }
    self.convolutions = convolutions
    features = PackedWeights(
      try file.floats("features.weight", shape: [64, 2048]), outputs: 64, channels: 2048,
      bias: try file.floats("features.bias", shape: [64]))
    var heads: [Attribute: PackedWeights] = [:]
    for attribute in Attribute.allCases {
      let name = "head.\(attribute.rawValue)"
      heads[attribute] = PackedWeights(
        try file.floats("\(name).weight", shape: [attribute.labels, 64]), outputs: attribute.labels, channels: 64,
        bias: try file.floats("\(name).bias", shape: [attribute.labels]))
    }
    self.heads = heads
    let real = try SafetensorsFile(url: Self.resource("statistics.safetensors"))
    statistics = FeatureStatistics(
      mean: try real.doubles("mean", shape: [64]), covariance: try real.doubles("covariance", shape: [64, 64]))
  }

  /// Reads pictures, each `[64, 64, 3]`, before they are limited to [-1, 1].
  public func read(_ pictures: [DenseTensor<Float>]) -> [Reading] {
    guard !pictures.isEmpty else { return [] }
    var limited = DenseTensor.stacking(pictures)
    limited.clamp(to: -1...1)
    var hidden = limited
    for convolution in convolutions {
      hidden = hidden.convolved(with: convolution, .init(stride: 2, padding: .init(1))).activated(.relu)
    }
    // The linear layer was trained on channels, rows, columns.
    let flat = hidden.channelsFirst().reshaped([pictures.count, 2048]).linear(features).activated(.relu)
    let labels = heads.mapValues { head in
      let scores = flat.linear(head)
      return pictures.indices.map { index in
        let row = scores[outer: index].elements
        return row.indices.max { row[$0] < row[$1] } ?? 0
      }
    }
    return pictures.indices.map { index in
      Reading(
        labels: labels.mapValues { $0[index] }, features: flat[outer: index].elements.map(Double.init),
        saturation: Self.saturation(of: limited[outer: index].elements), clipped: Self.clipped(pictures[index].elements)
      )
    }
  }

  private static func saturation(of values: [Float]) -> Double {
    let pixels = stride(from: 0, to: values.count, by: 3).map { index -> Double in
      let colour = values[index..<index + 3].map { (Double($0) + 1) / 2 }
      let highest = colour.max() ?? 0
      return (highest - (colour.min() ?? 0)) / max(highest, 1e-3)
    }
    return pixels.reduce(0, +) / Double(pixels.count)
  }

  private static func clipped(_ values: [Float]) -> Double {
    Double(values.count { abs($0) > 1 }) / Double(values.count)
  }
}
