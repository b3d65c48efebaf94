import RealModule
import Tensors

/// Data whose ideal denoiser is known: what solvers are measured on.
public protocol ExactData: Sendable {
  /// What an ideal model returns for `state`, whose elements are the coordinates, at a point with noise.
  func prediction(_ prediction: Prediction, of state: DoubleTensor, at point: TimePoint) -> DoubleTensor
}

extension GaussianData: ExactData {}
extension GaussianMixtureData: ExactData {}

extension SamplingPlan {
  /// Runs the plan with the ideal denoiser of `data`, one image per start.
  ///
  /// - Parameter start: tensors of unit variance, which the plan scales to its first point.
  /// - Throws: `CancellationError`.
  public nonisolated(nonsending) func solve(
    _ data: some ExactData, from start: [DoubleTensor]
  ) async throws -> [SamplingResult<DoubleTensor>] {
    guard let shape = start.first?.shape else { return [] }
    return try await sample(
      fields: start.indices.map { NoiseField(seed: 0, image: UInt32($0)) }, shape: shape, start: .unitVariance(start)
    ) { requests in
      requests.map { data.prediction(prediction, of: $0.state, at: $0.time) }
    }
  }
}
