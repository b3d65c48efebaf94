import Sampling

/// Single-precision states: every sum is made in double precision and rounded once, as Fewstep's own arrays do.
struct FloatTensor: Tensor, Hashable {
  let shape: Shape
  var values: [Float]

  init(zeros shape: Shape) {
    self.shape = shape
    values = Array(repeating: 0, count: shape.count)
  }

  init(_ other: DoubleTensor) {
    shape = other.shape
    values = other.values.map { Float($0) }
  }

  var double: DoubleTensor { DoubleTensor(values.map { Double($0) }, shape: shape) }

  mutating func assign(_ combination: LinearCombination<FloatTensor>) {
    var sum = DoubleTensor(zeros: shape)
    sum.assign(.init(combination.terms.map { .init($0.coefficient, $0.operand.double) }, noises: combination.noises))
    self = FloatTensor(sum)
  }

  mutating func clamp(to bounds: ClosedRange<Double>) {
    var clamped = double
    clamped.clamp(to: bounds)
    self = FloatTensor(clamped)
  }

  func innerProduct(_ other: FloatTensor) -> Double { double.innerProduct(other.double) }
  func sum() -> Double { double.sum() }
  func magnitudeQuantile(_ q: Double) -> Double { double.magnitudeQuantile(q) }
}
