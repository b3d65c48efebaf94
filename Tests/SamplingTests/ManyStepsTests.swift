import RealModule
import Sampling
import Testing

/// Up to 1000 steps: what is rounded must not grow with them.
///
/// `make test ARGS='--filter ManyStepsTests'` prints the figures.
@Suite("Many steps")
struct ManyStepsTests {
  /// Doubles whose every sum is rounded to `Float`.
  struct SingleTensor: Tensor {
    var base: DoubleTensor
    var shape: Shape { base.shape }

    init(_ base: DoubleTensor) { self.base = base }
    init(zeros shape: Shape) { base = DoubleTensor(zeros: shape) }

    mutating func assign(_ combination: LinearCombination<SingleTensor>) {
      // As DenseTensor does it: the sum in double precision, rounded once.
      base.assign(
        .init(combination.terms.map { .init($0.coefficient, $0.operand.base) }, noises: combination.noises))
      base = DoubleTensor(base.values.map { Double(Float($0)) }, shape: base.shape)
    }

    mutating func clamp(to bounds: ClosedRange<Double>) { base.clamp(to: bounds) }
    func innerProduct(_ other: SingleTensor) -> Double { base.innerProduct(other.base) }
    func sum() -> Double { base.sum() }
    func magnitudeQuantile(_ q: Double) -> Double { base.magnitudeQuantile(q) }
  }

  /// A run in single precision against the same in double, noise and all, at 60, 250 and 1000 steps; and in double
  /// against the exact trajectory, where the solver follows it.
  static func errors(of entry: SolverEntry) async throws -> [(rounding: Double, method: Double?)] {
    var errors: [(Double, Double?)] = []
    for steps in [60, 250, 1000] {
      let solver = try entry.make(steps)
      let points = try EverySolverTests.points(entry, steps: steps)
      let plan = try SamplingPlan(solver, at: points, prediction: EverySolverTests.prediction(entry))
      let (data, start) = (EverySolverTests.data, EverySolverTests.start)
      let double = try await plan.solve(data, from: [start])[0].state
      let single: SingleTensor = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: start.shape, start: .unitVariance([SingleTensor(start)])
      ) { requests in
        requests.map { SingleTensor(data.prediction(plan.prediction, of: $0.state.base, at: $0.time)) }
      }[0]
      let scaled = DoubleTensor.combining((plan.initialScale, start))
      let exact = data.trajectory(of: scaled, from: points[0], to: points[steps])
      errors.append(
        (single.base.relativeError(to: double), solver.order == nil ? nil : double.relativeError(to: exact)))
    }
    return errors
  }

  /// Single precision adds a few of its roundings (6e-8) and no more of them at 1000 steps than their random sum.
  @Test(arguments: SolverCatalogue.all) func roundingDoesNotGrow(_ entry: SolverEntry) async throws {
    let errors = try await Self.errors(of: entry)
    print("\(entry.name): \(errors)")
    for error in errors { #expect(error.rounding < 2e-6, "\(entry.name): \(errors)") }
    let methods = errors.compactMap(\.method)
    // Down to what doubles allow the error of the method falls.
    for (coarse, fine) in zip(methods, methods.dropFirst()) { #expect(fine < max(coarse, 1e-12), "\(errors)") }
  }
}
