import RealModule

/// A tensor whose elements can be read and made one by one: what rounding and learned variances need beyond what other
/// sampling does.
public protocol ElementTensor: Tensor {
  /// - Precondition: there are as many elements as the shape counts.
  init(elements: [Double], shape: Shape)

  /// The elements, row-major.
  var elementValues: [Double] { get }
}

extension ElementTensor {
  /// Every element times e^(offset + slope x), x being that of `exponents`.
  ///
  /// - Precondition: the shapes are equal.
  public func scaled(byExponentialsOf exponents: Self, slope: Double, offset: Double) -> Self {
    precondition(shape == exponents.shape, "\(shape) is scaled by \(exponents.shape)")
    let scaled = zip(elementValues, exponents.elementValues).map { $0 * .exp(offset + slope * $1) }
    return Self(elements: scaled, shape: shape)
  }
}

extension DoubleTensor: ElementTensor {
  public init(elements: [Double], shape: Shape) { self.init(elements, shape: shape) }

  public var elementValues: [Double] { values }
}
