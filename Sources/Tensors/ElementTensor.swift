/// A tensor whose elements can be read and made one by one: what rounding needs beyond what sampling does.
public protocol ElementTensor: Tensor {
  /// - Precondition: there are as many elements as the shape counts.
  init(elements: [Double], shape: Shape)

  /// The elements, row-major.
  var elementValues: [Double] { get }
}

extension DoubleTensor: ElementTensor {
  public init(elements: [Double], shape: Shape) { self.init(elements, shape: shape) }

  public var elementValues: [Double] { values }
}
