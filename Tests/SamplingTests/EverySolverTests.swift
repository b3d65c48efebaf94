import RealModule
import Sampling
import Testing

/// What every solver of the catalogue promises, whatever it is.
@Suite("Every solver")
struct EverySolverTests {
  static let data = GaussianData(
    mean: (0..<8).map { 0.3 * Double($0) - 1 }, variances: (0..<8).map { 0.02 + 0.25 * Double($0) })
  static let start = DoubleTensor(noise: NoiseField(seed: 3), shape: [8])

  /// Points from noise to nearly none, equal steps in lambda; for a flow in sigma.
  static func points(_ entry: SolverEntry, steps: Int) throws -> [TimePoint] {
    let solver = try entry.make(steps)
    let straight = try RectifiedFlow()
    let points = (0...steps).map { index in
      let fraction = Double(index) / Double(steps)
      return entry.family == .flow
        ? straight.point(sigma: 0.98 - 0.96 * fraction)
        : VariancePreserving.stableDiffusion.point(lambda: -2.5 + 5.5 * fraction)
    }
    return solver.isInversion ? points.reversed() : points
  }

  static func prediction(_ entry: SolverEntry) -> Prediction { entry.family == .flow ? .flow : .epsilon }

  /// Runs that end at sigma 0 converge to the end of the exact trajectory, short of what the last step leaves out: the
  /// part of sigma_min² of the data's variance, 0.5 or more here.
  @Test func runsToSigmaZeroConverge() async throws {
    let data = GaussianData(mean: Self.data.mean, variances: (0..<8).map { 0.5 + 0.25 * Double($0) })
    for entry in SolverCatalogue.all where entry.conventions.end != .leastNoise {
      guard try entry.make(100).order != nil, try !entry.make(100).isInversion else { continue }
      let path: any NoisePath = entry.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
      var errors: [Double] = []
      for steps in [50, 200] {
        let points: [TimePoint]
        if entry.family == .flow {
          points = try TrailingGrid(steps: steps).points(on: path)
        } else {
          points = try KarrasGrid(steps: steps).points(on: path)
        }
        let plan = try SamplingPlan(entry.make(steps), at: points, prediction: Self.prediction(entry))
        let scaled = DoubleTensor.combining((plan.initialScale, Self.start))
        let result = try await plan.solve(data, from: [Self.start])[0].state
        errors.append(
          result.relativeError(to: data.trajectory(of: scaled, from: points[0], to: points[steps])))
      }
      #expect(errors[0] < 0.1 && errors[1] < max(errors[0] / 3, 2e-3), "\(entry.name): \(errors)")
    }
  }

  /// An image comes out the same alone and among others, at every step.
  @Test func imagesDoNotMix() async throws {
    for entry in SolverCatalogue.all {
      let plan = try SamplingPlan(
        entry.make(6), at: Self.points(entry, steps: 6), prediction: Self.prediction(entry), noise: .brownian)
      func denoise(_ requests: [DenoiserRequest<DoubleTensor>]) -> [DoubleTensor] {
        requests.map { Self.data.prediction(plan.prediction, of: $0.state, at: $0.time) }
      }
      let fields = (0..<3).map { NoiseField(seed: 4, image: $0) }
      let together = try await plan.sample(fields: fields, shape: [8], denoise: denoise)
      for (field, expected) in zip(fields, together) {
        let alone = try await plan.sample(fields: [field], shape: [8], denoise: denoise)[0]
        #expect(alone.state == expected.state && alone.stepErrors == expected.stepErrors, "\(entry.name)")
        #expect(alone.evaluations == plan.evaluationCount)
      }
      #expect(Set(together.map(\.state)).count == 3)
    }
  }
}
