import Tensors

extension DenseTensor: ElementTensor {
  public init(elements: [Double], shape: Shape) { self.init(elements.map { Scalar($0) }, shape: shape) }

  public var elementValues: [Double] { withUnsafeBufferPointer { $0.map { Double($0) } } }
}
