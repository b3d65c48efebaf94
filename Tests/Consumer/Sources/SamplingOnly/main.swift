// Samples with an array type of its own and nothing of Fewstep but Sampling.
import Sampling

/// Fixed-point numbers: nothing that Fewstep knows.
struct FixedPoint: Tensor {
  static let one = 1 << 20
  let shape: Shape
  var values: [Int]

  init(zeros shape: Shape) {
    self.shape = shape
    values = Array(repeating: 0, count: shape.count)
  }

  mutating func assign(_ combination: LinearCombination<FixedPoint>) {
    var sums = Array(repeating: 0.0, count: shape.count)
    for term in combination.terms {
      for index in sums.indices { sums[index] += term.coefficient * Double(term.operand.values[index]) }
    }
    for noise in combination.noises {
      noise.field.forEach(count: sums.count) { sums[$0] += noise.coefficient * $1 * Double(Self.one) }
    }
    values = sums.map { Int($0.rounded()) }
  }

  mutating func clamp(to bounds: ClosedRange<Double>) {
    let (low, high) = (Int(bounds.lowerBound * Double(Self.one)), Int(bounds.upperBound * Double(Self.one)))
    values = values.map { min(max($0, low), high) }
  }

  private var numbers: [Double] { values.map { Double($0) / Double(Self.one) } }

  func innerProduct(_ other: FixedPoint) -> Double { zip(numbers, other.numbers).reduce(0) { $0 + $1.0 * $1.1 } }
  func sum() -> Double { numbers.reduce(0, +) }
  func magnitudeQuantile(_ q: Double) -> Double { DoubleTensor(numbers).magnitudeQuantile(q) }
}

let plan = try SamplingPlan(DPMSolverMultistep(.sample, order: 2), on: .stableDiffusion, grid: KarrasGrid(steps: 20))
// All data are the number 0.75: an ideal model says so at every time.
let image: FixedPoint = try await plan.run(seed: 7, shape: [4, 64, 64]) { requests in
  requests.map { request in
    var noise = request.state
    for index in noise.values.indices {
      let signal = request.time.alpha * 0.75 * Double(FixedPoint.one)
      noise.values[index] = Int(((Double(request.state.values[index]) - signal) / request.time.sigma).rounded())
    }
    return noise
  }
}
let error = image.values.map { abs(Double($0) / Double(FixedPoint.one) - 0.75) }.max() ?? .infinity
print("\(plan.solver), \(plan.evaluationCount) evaluations, error \(error)")
precondition(error < 1e-4)
