import Fewstep

/// The orders that solvers show on exact problems, beside those that theory gives.
struct OrderTable {
  struct Row: Encodable {
    let solver: String
    let path: String
    let prediction: Prediction
    let theory: Int
    /// On the correlated Gaussian, whose trajectory is known.
    let gaussian: Double
    /// On the mixture of two.
    let mixture: Double
  }

  /// How far a measured order may be from theory's.
  static let tolerance = 0.15

  static let gaussian = GaussianData(
    mean: [0.5, -1, 2], variances: [0.04, 0.5, 2.5], basis: [[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
  static let mixture = GaussianMixtureData([
    .init(weight: 0.4, mean: [-1, 0.5], variance: 0.3), .init(weight: 0.6, mean: [0.8, -0.2], variance: 0.15),
  ])

  /// One row per prediction, or none for a solver that is stochastic by nature.
  static func rows(_ entry: SolverEntry) async throws -> [Row] {
    let solver = try entry.make(400)
    guard let theory = solver.order, !solver.isInversion else { return [] }
    let isFlow = entry.family == .flow
    let flow = try RectifiedFlow()
    func points(_ steps: Int) -> [TimePoint] {
      (0...steps).map { index in
        let fraction = Double(index) / Double(steps)
        return isFlow
          ? flow.point(sigma: 0.95 - 0.9 * fraction)
          : VariancePreserving.stableDiffusion.point(lambda: -2.5 + 5.5 * fraction)
      }
    }
    var rows: [Row] = []
    for prediction in isFlow ? [Prediction.flow, .epsilon, .sample] : [.epsilon, .sample, .velocity] {
      // A high order reaches rounding early.
      let coarse = theory >= 4 ? 64 : 96
      let onGaussian = try await Convergence.measured(
        solver, prediction: prediction, on: gaussian, from: DoubleTensor([0.3, -1.2, 0.9]), coarse: coarse,
        points: points)
      let onMixture = try await Convergence.measured(
        solver, prediction: prediction, on: mixture, from: DoubleTensor([0.4, 0.7]), coarse: 2 * coarse,
        points: points)
      rows.append(
        Row(
          solver: entry.name, path: isFlow ? "rectified flow" : "Stable Diffusion", prediction: prediction,
          theory: theory, gaussian: onGaussian.order, mixture: onMixture.order))
    }
    return rows
  }
}
