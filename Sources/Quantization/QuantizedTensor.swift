import RealModule
import Tensors

/// How a tensor is quantized.
public struct QuantizationScheme: Hashable, Sendable {
  /// 2 to 8.
  public var bits: Int
  public var symmetry: LevelSymmetry
  public var granularity: Granularity
  public var observer: RangeObserver

  /// - Precondition: there are 2 to 8 bits.
  public init(
    bits: Int = 8, symmetry: LevelSymmetry = .symmetric, granularity: Granularity = .channel,
    observer: RangeObserver = .absmax
  ) {
    precondition((2...8).contains(bits), "\(bits) bits")
    self.bits = bits
    self.symmetry = symmetry
    self.granularity = granularity
    self.observer = observer
  }
}

/// A tensor as levels of at most 8 bits, and the scale of each group of them.
public struct QuantizedTensor: Hashable, Sendable {
  public let shape: Shape
  public let granularity: Granularity
  /// Row-major.
  public let levels: [Int16]
  /// In the order of the granularity's groups.
  public let scales: [LevelScale]

  /// The levels nearest to a tensor's elements.
  public init(_ tensor: some ElementTensor, _ scheme: QuantizationScheme = .init()) {
    shape = tensor.shape
    granularity = scheme.granularity
    let values = tensor.elementValues
    var levels: [Int16] = []
    levels.reserveCapacity(values.count)
    scales = scheme.granularity.groups(of: shape).map { group in
      let scale = scheme.observer.scale(of: values[group], symmetry: scheme.symmetry, bits: scheme.bits)
      levels += values[group].lazy.map { Int16(scale.level(of: $0)) }
      return scale
    }
    self.levels = levels
  }

  /// The values of the levels.
  public func dequantized<Result: ElementTensor>(as type: Result.Type = Result.self) -> Result {
    var values: [Double] = []
    values.reserveCapacity(levels.count)
    for (group, scale) in zip(granularity.groups(of: shape), scales) {
      values += levels[group].lazy.map { scale.value(of: Int($0)) }
    }
    return Result(elements: values, shape: shape)
  }
}

extension Tensor {
  /// 10 log₁₀(|x|² / |self - x|²) for a reference x, in decibels; infinite where they are equal.
  ///
  /// - Precondition: the shapes are equal.
  public func signalToNoise(against reference: Self) -> Double {
    let error = Self.combining((1, self), (-1, reference))
    return decibels(signal: reference.innerProduct(reference), noise: error.innerProduct(error))
  }
}

/// 10 log₁₀(signal / noise); infinite without noise.
package func decibels(signal: Double, noise: Double) -> Double {
  noise == 0 ? .infinity : 10 * .log10(signal / noise)
}
