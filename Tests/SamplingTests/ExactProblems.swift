import RealModule
import Sampling
import Testing

/// A correlated Gaussian in three dimensions, its start, and the points between two values of lambda.
struct ExactProblem {
  static let data = GaussianData(
    mean: [0.5, -1, 2], variances: [0.04, 0.5, 2.5],
    basis: [[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
  static let start = DoubleTensor([0.3, -1.2, 0.9])

  /// `steps` equal steps in lambda, or steps that differ by a factor of up to 3 where `isUneven`.
  static func points(_ path: some NoisePath, steps: Int, from: Double, to: Double, isUneven: Bool = false)
    -> [TimePoint]
  {
    (0...steps).map { index in
      let uniform = Double(index) / Double(steps)
      let fraction = isUneven ? uniform * (0.5 + 0.5 * uniform) : uniform
      return path.point(lambda: from + (to - from) * fraction)
    }
  }

  /// The distance of a run from the exact trajectory at the last point.
  static func error(of solver: some Solver, prediction: Prediction, at points: [TimePoint]) async throws -> Double {
    let plan = try SamplingPlan(solver, at: points, prediction: prediction)
    let scaled = DoubleTensor.combining((plan.initialScale, start))
    return try await plan.solve(data, from: [start])[0].state
      .relativeError(to: data.trajectory(of: scaled, from: points[0], to: points[points.count - 1]))
  }

  /// The order seen between `coarse` steps and four times as many.
  static func order(
    of solver: some Solver, prediction: Prediction, coarse: Int, _ points: (Int) -> [TimePoint]
  ) async throws -> Double {
    try await Convergence.measured(
      solver, prediction: prediction, on: data, from: start, coarse: coarse, points: points
    ).order
  }
}

/// Two overlapping clusters: no closed trajectory, and no accidental cancellation.
struct MixtureProblem {
  static let data = GaussianMixtureData([
    .init(weight: 0.4, mean: [-1, 0.5], variance: 0.3), .init(weight: 0.6, mean: [0.8, -0.2], variance: 0.15),
  ])

  /// The order seen in the differences between runs of `coarse`, twice and four times as many steps.
  static func order(
    of solver: some Solver, prediction: Prediction, coarse: Int, _ points: (Int) -> [TimePoint]
  ) async throws -> Double {
    try await Convergence.measured(
      solver, prediction: prediction, on: data, from: DoubleTensor([0.4, 0.7]), coarse: coarse, points: points
    ).order
  }
}
