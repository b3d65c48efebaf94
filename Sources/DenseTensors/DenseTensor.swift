import Tensors

/// An array in memory, row-major, with value semantics.
///
/// Activations are channels-last: `[batch, height, width, channels]`.
public struct DenseTensor<Scalar: DenseScalar>: Sendable {
  public private(set) var shape: Shape
  var storage: DenseStorage<Scalar>

  init(_ storage: DenseStorage<Scalar>, shape: Shape) {
    (self.shape, self.storage) = (shape, storage)
  }

  /// Memory whose contents are about to be written.
  init(uninitialized shape: Shape) {
    self.shape = shape
    storage = DenseStorage(count: shape.count)
  }

  public init(repeating value: Scalar, shape: Shape) {
    self.init(uninitialized: shape)
    storage.elements.initialize(repeating: value)
  }

  /// - Precondition: there are as many elements as the shape counts.
  public init(_ elements: some Collection<Scalar>, shape: Shape) {
    precondition(elements.count == shape.count, "\(elements.count) elements do not fill \(shape)")
    self.shape = shape
    storage = DenseStorage(elements)
  }

  /// The elements, row-major.
  public var elements: [Scalar] { Array(storage.elements) }

  public func withUnsafeBufferPointer<Result>(_ body: (UnsafeBufferPointer<Scalar>) throws -> Result) rethrows -> Result
  {
    try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(storage.elements)) }
  }

  public mutating func withUnsafeMutableBufferPointer<Result>(
    _ body: (UnsafeMutableBufferPointer<Scalar>) throws -> Result
  ) rethrows -> Result {
    makeUnique(keepingElements: true)
    return try withExtendedLifetime(storage) { try body(storage.elements) }
  }

  /// The same elements in another shape.
  ///
  /// - Precondition: the shapes count the same.
  public func reshaped(_ shape: Shape) -> DenseTensor {
    precondition(shape.count == self.shape.count, "\(self.shape) does not fill \(shape)")
    var result = self
    result.shape = shape
    return result
  }

  /// Element `index` of the outermost dimension.
  ///
  /// - Precondition: the tensor has such an element.
  public subscript(outer index: Int) -> DenseTensor {
    self[outer: index..<index + 1].reshaped(Shape(Array(shape.dimensions.dropFirst())))
  }

  /// Elements of the outermost dimension.
  ///
  /// - Precondition: the tensor has such elements.
  public subscript(outer indices: Range<Int>) -> DenseTensor {
    precondition(indices.lowerBound >= 0 && indices.upperBound <= shape[0], "\(shape) has no elements \(indices)")
    let inner = shape.count / max(shape[0], 1)
    return DenseTensor(
      storage.elements[indices.lowerBound * inner..<indices.upperBound * inner],
      shape: Shape([indices.count] + shape.dimensions.dropFirst()))
  }

  /// The tensors as elements of a new outermost dimension.
  ///
  /// - Precondition: there is a tensor, and all shapes are equal.
  public static func stacking(_ tensors: [DenseTensor]) -> DenseTensor {
    let inner = tensors[0].shape
    precondition(tensors.allSatisfy { $0.shape == inner }, "shapes differ: \(tensors.map(\.shape))")
    let result = DenseTensor(uninitialized: Shape([tensors.count] + inner.dimensions))
    for (index, tensor) in tensors.enumerated() {
      let target = UnsafeMutableBufferPointer(
        rebasing: result.storage.elements[index * inner.count..<(index + 1) * inner.count])
      _ = target.initialize(from: tensor.storage.elements)
    }
    return result
  }

  /// A tensor to write the result of a pass over this one to: in its own memory where nobody else has that.
  mutating func reusedOrNew() -> DenseTensor {
    isKnownUniquelyReferenced(&storage) ? self : DenseTensor(uninitialized: shape)
  }

  /// Gives this value memory of its own before it is written.
  mutating func makeUnique(keepingElements: Bool) {
    guard !isKnownUniquelyReferenced(&storage) else { return }
    let old = storage
    storage = DenseStorage(count: shape.count)
    if keepingElements { _ = storage.elements.initialize(from: old.elements) }
  }
}

extension DenseTensor: Equatable {
  /// Equal shapes and equal elements.
  public static func == (left: DenseTensor, right: DenseTensor) -> Bool {
    left.shape == right.shape && left.storage.elements.elementsEqual(right.storage.elements)
  }
}

// Samplers call these through the protocol, from code that knows no scalar: unspecialised, they would take longer than
// the passes over memory.
extension DenseTensor: Tensor {
  @_specialize(where Scalar == Float)
  public init(zeros shape: Shape) {
    self.init(uninitialized: shape)
    // The bits of zero are zeros in every scalar; one by one, in unspecialised code, they would take longer than a
    // step.
    UnsafeMutableRawBufferPointer(storage.elements).initializeMemory(as: UInt8.self, repeating: 0)
  }

  @_specialize(where Scalar == Float)
  public mutating func assign(_ combination: LinearCombination<DenseTensor>) {
    makeUnique(keepingElements: false)
    withUnpackedTerms(of: combination) { coefficients, inputs in
      Scalar.combine(coefficients, inputs, noises: combination.noises, into: storage.elements)
    }
  }

  @_specialize(where Scalar == Float)
  public mutating func accumulate(_ combination: LinearCombination<DenseTensor>, carry: Double) -> Double {
    precondition(combination.noises.isEmpty, "noise is no error")
    makeUnique(keepingElements: true)
    return withUnpackedTerms(of: combination) { coefficients, inputs in
      Scalar.accumulate(coefficients, inputs, carry: carry, into: storage.elements)
    }
  }

  private func withUnpackedTerms<Result>(
    of combination: LinearCombination<DenseTensor>,
    _ body: (UnsafeBufferPointer<Double>, UnsafeBufferPointer<UnsafePointer<Scalar>?>) -> Result
  ) -> Result {
    let terms = combination.terms
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: terms.count) { coefficients in
      withUnsafeTemporaryAllocation(of: UnsafePointer<Scalar>?.self, capacity: terms.count) { inputs in
        for index in terms.indices {
          precondition(terms[index].operand.shape == shape, "shapes differ")
          coefficients[index] = terms[index].coefficient
          inputs[index] = UnsafePointer(terms[index].operand.storage.elements.baseAddress)
        }
        return withExtendedLifetime(combination) {
          body(UnsafeBufferPointer(coefficients), UnsafeBufferPointer(inputs))
        }
      }
    }
  }

  @_specialize(where Scalar == Float)
  public mutating func clamp(to bounds: ClosedRange<Double>) {
    withUnsafeMutableBufferPointer { Scalar.clamp($0, to: bounds) }
  }

  @_specialize(where Scalar == Float)
  public func innerProduct(_ other: DenseTensor) -> Double {
    precondition(shape == other.shape, "\(shape) and \(other.shape)")
    return withExtendedLifetime((self, other)) {
      Scalar.innerProduct(UnsafeBufferPointer(storage.elements), UnsafeBufferPointer(other.storage.elements))
    }
  }

  @_specialize(where Scalar == Float)
  public func sum() -> Double {
    withExtendedLifetime(self) { Scalar.sum(UnsafeBufferPointer(storage.elements)) }
  }

  public func magnitudeQuantile(_ q: Double) -> Double { quantile(q, of: storage.elements.map { abs(Double($0)) }) }
}
