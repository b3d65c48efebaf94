import CKernels
import Tensors

/// The nonlinearities of the networks, by the names in their configurations.
public enum Activation: String, Hashable, Sendable, CaseIterable {
  case silu
  /// x Φ(x), by the error function.
  case gelu
  /// x sigmoid(1.702 x), of the original CLIP.
  case quickGELU = "quick_gelu"
  case relu
  /// x tanh(log(1 + eˣ)) (Misra 2019, arXiv:1908.08681).
  case mish

  /// The activation by a configuration's name for it; nil for one that is not here.
  public init?(name: String) {
    switch name {
    case "swish": self = .silu
    default: self.init(rawValue: name)
    }
  }

  var kernel: fs_activation {
    switch self {
    case .silu: FS_SILU
    case .gelu: FS_GELU
    case .quickGELU: FS_QUICK_GELU
    case .relu: FS_RELU
    case .mish: FS_MISH
    }
  }
}

/// Elements that one thread takes at a time: half of a first-level cache.
private let elementwiseGrain = 4096

extension DenseTensor where Scalar == Float {
  public func activated(_ activation: Activation) -> DenseTensor {
    let timer = Profile.timer()
    defer { timer?.stop(.elementwise, shape: "\(activation.rawValue) \(shape)") }
    let result = DenseTensor(uninitialized: shape)
    let (input, output) = (storage.elements.baseAddress!, result.storage.elements.baseAddress!)
    withExtendedLifetime((self, result)) {
      ThreadPool.forEachRange(shape.count, grain: elementwiseGrain) { range in
        fs_activate(output + range.lowerBound, input + range.lowerBound, Int64(range.count), activation.kernel)
      }
    }
    return result
  }

  /// self × scale + shift.
  public func affine(scale: Float, shift: Float) -> DenseTensor {
    DenseTensor(storage.elements.map { $0 * scale + shift }, shape: shape)
  }

  /// GEGLU of `[..., 2 channels]`: the first half times GELU of the second (Shazeer 2020, arXiv:2002.05202).
  public func gatedGELU() -> DenseTensor {
    let timer = Profile.timer()
    defer { timer?.stop(.elementwise, shape: "gated gelu \(shape)") }
    let channels = shape[-1] / 2
    let result = DenseTensor(uninitialized: Shape(Array(shape.dimensions.dropLast()) + [channels]))
    let (input, output) = (storage.elements.baseAddress!, result.storage.elements.baseAddress!)
    withExtendedLifetime((self, result)) {
      ThreadPool.forEachRange(result.shape.count / channels, grain: max(1, elementwiseGrain / channels)) { rows in
        fs_geglu(
          output + rows.lowerBound * channels, input + rows.lowerBound * 2 * channels, Int64(rows.count),
          Int64(channels))
      }
    }
    return result
  }

  /// (self + other) × scale.
  ///
  /// - Precondition: the shapes are equal.
  public func adding(_ other: DenseTensor, scale: Float = 1) -> DenseTensor {
    precondition(shape == other.shape, "\(shape) and \(other.shape)")
    let timer = Profile.timer()
    defer { timer?.stop(.elementwise, shape: "sum \(shape)") }
    let result = DenseTensor(uninitialized: shape)
    let (left, right) = (storage.elements.baseAddress!, other.storage.elements.baseAddress!)
    let output = result.storage.elements.baseAddress!
    withExtendedLifetime((self, other, result)) {
      ThreadPool.forEachRange(shape.count, grain: elementwiseGrain) { range in
        fs_add(
          output + range.lowerBound, left + range.lowerBound, right + range.lowerBound, Int64(range.count), scale)
      }
    }
    return result
  }

  /// The channels of both, one after the other.
  ///
  /// - Precondition: all dimensions but the last are equal.
  public func concatenatingChannels(_ other: DenseTensor) -> DenseTensor {
    let (left, right) = (shape[-1], other.shape[-1])
    let outer = Array(shape.dimensions.dropLast())
    precondition(outer == Array(other.shape.dimensions.dropLast()), "\(shape) and \(other.shape)")
    let timer = Profile.timer()
    defer { timer?.stop(.elementwise, shape: "concatenation \(shape)") }
    let result = DenseTensor(uninitialized: Shape(outer + [left + right]))
    let (first, second) = (storage.elements.baseAddress!, other.storage.elements.baseAddress!)
    let output = result.storage.elements.baseAddress!
    withExtendedLifetime((self, other, result)) {
      ThreadPool.forEachRange(shape.count / left, grain: max(1, elementwiseGrain / (left + right))) { rows in
        for row in rows {
          let target = output + row * (left + right)
          target.initialize(from: first + row * left, count: left)
          (target + left).initialize(from: second + row * right, count: right)
        }
      }
    }
    return result
  }

  /// `[batch, height, width, channels]` with every pixel taken from its nearest neighbour, rounding down.
  public func resizedNearest(height: Int, width: Int) -> DenseTensor {
    let (batch, oldHeight, oldWidth, channels) = (shape[0], shape[1], shape[2], shape[3])
    let timer = Profile.timer()
    defer { timer?.stop(.elementwise, shape: "resize \(shape)") }
    let result = DenseTensor(uninitialized: [batch, height, width, channels])
    let (input, output) = (storage.elements.baseAddress!, result.storage.elements.baseAddress!)
    withExtendedLifetime((self, result)) {
      ThreadPool.forEach(batch * height) { task in
        let (image, y) = (task / height, task % height)
        let source = input + (image * oldHeight + y * oldHeight / height) * oldWidth * channels
        for x in 0..<width {
          (output + (task * width + x) * channels)
            .initialize(from: source + x * oldWidth / width * channels, count: channels)
        }
      }
    }
    return result
  }
}
