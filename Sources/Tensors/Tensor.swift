/// What a type must do to be sampled with: be combined linearly, hold noise, and report its size.
///
/// A state is one image; batching belongs to the model. `[Double]` conforms through ``DoubleTensor``, Fewstep's own
/// arrays through `DenseTensor`; any other array type conforms with these few members.
public protocol Tensor: Sendable {
  var shape: Shape { get }

  /// A tensor of zeros.
  init(zeros shape: Shape)

  /// Becomes Σ cᵢ xᵢ + c z in one pass over memory; the old value counts only where it is one of the xᵢ.
  ///
  /// - Precondition: every xᵢ has this tensor's shape.
  mutating func assign(_ combination: LinearCombination<Self>)

  /// Limits every element to `bounds`.
  mutating func clamp(to bounds: ClosedRange<Double>)

  /// The square root of the mean of the squared elements; 0 for an empty tensor.
  func rootMeanSquare() -> Double
}

/// Σ cᵢ xᵢ + c z: the one primitive that carries all sampling.
public struct LinearCombination<Operand: Sendable>: Sendable {
  public struct Term: Sendable {
    public var coefficient: Double
    public var operand: Operand

    public init(_ coefficient: Double, _ operand: Operand) {
      self.coefficient = coefficient
      self.operand = operand
    }
  }

  public struct Noise: Sendable {
    public var coefficient: Double
    public var field: NoiseField

    public init(_ coefficient: Double, _ field: NoiseField) {
      self.coefficient = coefficient
      self.field = field
    }
  }

  public var terms: [Term]
  public var noise: Noise?

  public init(_ terms: [Term], noise: Noise? = nil) {
    self.terms = terms
    self.noise = noise
  }
}

extension Tensor {
  /// Standard normal noise of the given shape.
  public init(noise field: NoiseField, shape: Shape) {
    self.init(zeros: shape)
    assign(LinearCombination([], noise: .init(1, field)))
  }

  /// The combination as a new tensor of the shape of its first term.
  ///
  /// - Precondition: there is a term.
  public static func combining(_ terms: (Double, Self)...) -> Self {
    var result = Self(zeros: terms[0].1.shape)
    result.assign(LinearCombination(terms.map { .init($0.0, $0.1) }))
    return result
  }

  /// The root mean square of `self - other` relative to that of `other`.
  public func relativeError(to other: Self) -> Double {
    Self.combining((1, self), (-1, other)).rootMeanSquare() / other.rootMeanSquare()
  }
}
