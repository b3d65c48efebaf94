/// A plain vector of doubles: the tensor to test solvers with, and the reference for every other conformance.
public struct DoubleTensor: Tensor, Hashable, Codable {
  public let shape: Shape
  public private(set) var values: [Double]

  public init(zeros shape: Shape) {
    self.shape = shape
    self.values = Array(repeating: 0, count: shape.count)
  }

  /// - Precondition: there are as many values as the shape counts.
  public init(_ values: [Double], shape: Shape? = nil) {
    let shape = shape ?? Shape([values.count])
    precondition(values.count == shape.count, "\(values.count) values do not fill \(shape)")
    self.shape = shape
    self.values = values
  }

  public mutating func assign(_ combination: LinearCombination<DoubleTensor>) {
    var sum = Array(repeating: 0.0, count: shape.count)
    for term in combination.terms {
      precondition(term.operand.shape == shape, "\(term.operand.shape) is combined into \(shape)")
      for index in sum.indices {
        sum[index] += term.coefficient * term.operand.values[index]
      }
    }
    for noise in combination.noises {
      noise.field.forEach(count: sum.count) { sum[$0] += noise.coefficient * $1 }
    }
    values = sum
  }

  public mutating func clamp(to bounds: ClosedRange<Double>) {
    for index in values.indices {
      values[index] = min(max(values[index], bounds.lowerBound), bounds.upperBound)
    }
  }

  public func innerProduct(_ other: DoubleTensor) -> Double {
    precondition(shape == other.shape, "\(shape) and \(other.shape)")
    return zip(values, other.values).reduce(0) { $0 + $1.0 * $1.1 }
  }

  public func sum() -> Double { values.reduce(0, +) }

  public func magnitudeQuantile(_ q: Double) -> Double { quantile(q, of: values.map(abs)) }
}
