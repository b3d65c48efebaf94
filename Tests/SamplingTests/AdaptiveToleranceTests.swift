import RealModule
import Sampling
import Testing

/// The error achieved over the one requested, for single images.
///
/// Not every image can lie within the limits. On the mixture an image that starts between the clusters has its errors
/// multiplied by what no local estimate knows; and in two or three numbers the errors of the steps cancel, now and
/// then, by a factor of a hundred and more. So it is nine images of ten that are asked for, and all of them on the
/// Gaussian in 16 dimensions, which knows neither. With other noise, and on a Gaussian in 64 dimensions and mixtures in
/// 16 and 64, the worst of all cases had 18 of 200 images outside, and most had none.
@Suite("Adaptive tolerances")
struct AdaptiveToleranceTests {
  static let limits = 0.02...5.0

  static func ratios(
    _ pair: any EmbeddedPair, on path: any NoisePath, to end: TimePoint, _ problem: TrajectoryProblem,
    exact: [DoubleTensor], fields: [NoiseField], exponent: Int
  ) async throws -> [Double] {
    let tolerance = Double.pow(10, -exponent)
    let prediction = pair.clock == .sigma ? Prediction.flow : .epsilon
    let sampler = try AdaptiveSampler(
      pair, on: path, tolerance: ErrorTolerance(relative: tolerance), budget: 20000, prediction: prediction, to: end,
      endsClean: false)
    let results = try await sampler.sample(fields: fields, shape: problem.shape) { requests in
      requests.map { problem.predict(prediction, $0.state, $0.time) }
    }
    let ratios = zip(results, exact).map { $0.state.relativeError(to: $1) / tolerance }
    let evaluations = results.map(\.evaluations)
    print(
      "\(pair.name), \(problem.testDescription), rtol 1e-\(exponent): achieved over requested",
      "\(quantile(0, of: ratios)) to \(quantile(1, of: ratios)), median \(quantile(0.5, of: ratios)), outside",
      "\(ratios.count { !limits.contains($0) }) of \(ratios.count), NFE",
      "\(evaluations.min() ?? 0) to \(evaluations.max() ?? 0), rejected",
      results.reduce(0) { $0 + $1.rejectedSteps })
    return ratios
  }

  static func exact(
    _ problem: TrajectoryProblem, on path: any NoisePath, to end: TimePoint, fields: [NoiseField]
  ) async throws -> [DoubleTensor] {
    let start = path.point(at: path.timesteps.upperBound)
    return try await fields.asyncMap { field in
      let state = DoubleTensor.combining((start.standardDeviation, DoubleTensor(noise: field, shape: problem.shape)))
      return try await problem.solve(state, start, end, path)
    }
  }

  @Test("are met by nine images of ten", arguments: TrajectoryProblem.all)
  func tolerance(_ problem: TrajectoryProblem) async throws {
    let path = VariancePreserving.stableDiffusion
    let end = path.point(at: 0)
    let fields = (0..<128).map { NoiseField(seed: 2, image: $0) }
    let exact = try await Self.exact(problem, on: path, to: end, fields: fields)
    for pair in AdaptiveTests.pairs {
      for exponent in 2...6 {
        // The first-order pair takes thousands of steps.
        let count = pair.order == 2 && exponent > 4 ? 32 : fields.count
        let ratios = try await Self.ratios(
          pair, on: path, to: end, problem, exact: exact, fields: Array(fields.prefix(count)), exponent: exponent)
        let inside = Double(ratios.count { Self.limits.contains($0) }) / Double(count)
        #expect(inside >= (problem.shape == [16] ? 1 : 0.9), "\(pair.name) 1e-\(exponent)")
      }
    }
  }

  /// Dormand and Prince's pair is held to the upper limit alone: its three to ten steps on a straight path are better
  /// than asked for by up to a factor of a thousand.
  @Test("are met on straight paths", arguments: TrajectoryProblem.all)
  func straightPath(_ problem: TrajectoryProblem) async throws {
    let path = try RectifiedFlow()
    let end = path.point(sigma: 0.01)
    let fields = (0..<128).map { NoiseField(seed: 2, image: $0) }
    let exact = try await Self.exact(problem, on: path, to: end, fields: fields)
    for method in RungeKuttaPair.Method.allCases {
      let pair = RungeKuttaPair(method, in: .sigma)
      for exponent in 2...6 {
        let ratios = try await Self.ratios(
          pair, on: path, to: end, problem, exact: exact, fields: fields, exponent: exponent)
        let limits = method == .bogackiShampine ? Self.limits : 0...Self.limits.upperBound
        let inside = Double(ratios.count { limits.contains($0) }) / Double(fields.count)
        #expect(inside >= (problem.shape == [16] ? 1 : 0.9), "\(pair.name) 1e-\(exponent)")
      }
    }
  }
}
