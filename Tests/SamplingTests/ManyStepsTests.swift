import RealModule
import Sampling
import Testing

/// Up to 1000 steps: what is rounded must not grow with them.
///
/// `make test ARGS='--filter ManyStepsTests'` prints the errors.
@Suite("Many steps")
struct ManyStepsTests {
  /// Doubles whose every sum is rounded to `Float`.
  struct SingleTensor: Tensor {
    var base: DoubleTensor
    var shape: Shape { base.shape }

    init(_ base: DoubleTensor) { self.base = base }
    init(zeros shape: Shape) { base = DoubleTensor(zeros: shape) }

    mutating func assign(_ combination: LinearCombination<SingleTensor>) {
      // The executor of a Float tensor rounds the coefficients as well.
      let terms = combination.terms.map {
        LinearCombination<DoubleTensor>.Term(Double(Float($0.coefficient)), $0.operand.base)
      }
      base.assign(.init(terms))
      base = DoubleTensor(base.values.map { Double(Float($0)) }, shape: base.shape)
    }

    mutating func clamp(to bounds: ClosedRange<Double>) { base.clamp(to: bounds) }
    func innerProduct(_ other: SingleTensor) -> Double { base.innerProduct(other.base) }
    func sum() -> Double { base.sum() }
    func magnitudeQuantile(_ q: Double) -> Double { base.magnitudeQuantile(q) }
  }

  static let entries = SolverCatalogue.all.filter { entry in
    ["unipc", "deis", "ipndm", "res", "dpm", "gradient"].contains { entry.name.hasPrefix($0) }
  }

  /// The error in single precision at 60, 250 and 1000 steps, evenly spaced in lambda.
  static func errors(of entry: SolverEntry) async throws -> [(single: Double, double: Double)] {
    var errors: [(Double, Double)] = []
    for steps in [60, 250, 1000] {
      let points = ExactProblem.points(.stableDiffusion, steps: steps, from: -2.5, to: 3)
      let plan = try SamplingPlan(entry.make(steps), at: points, prediction: .epsilon)
      let start = SingleTensor(ExactProblem.start)
      let result: SingleTensor = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: start.shape, start: .unitVariance([start])
      ) { requests in
        requests.map { SingleTensor(ExactProblem.data.prediction(.epsilon, of: $0.state.base, at: $0.time)) }
      }[0]
      let scaled = DoubleTensor.combining((plan.initialScale, ExactProblem.start))
      let exact = ExactProblem.data.trajectory(of: scaled, from: points[0], to: points[steps])
      let double = try await ExactProblem.error(of: entry.make(steps), prediction: .epsilon, at: points)
      errors.append((result.base.relativeError(to: exact), double))
    }
    return errors
  }

  /// Single precision adds a few of its roundings (6e-8) and no more of them at 1000 steps than their random sum.
  @Test(arguments: entries) func roundingDoesNotGrow(_ entry: SolverEntry) async throws {
    let errors = try await Self.errors(of: entry)
    print("\(entry.name): errors \(errors)")
    for error in errors { #expect(error.single < error.double + 2e-6, "\(entry.name)") }
    #expect(errors[0].double > errors[1].double && errors[1].double > errors[2].double, "\(entry.name)")
  }
}
