import Fewstep
import Testing

/// Normally distributed data with any covariance: LAPACK's eigenvectors make the exact problem of it.
@Suite("Full-covariance Gaussians")
struct FullCovarianceTests {
  static let covariance = [2.0, 0.6, -0.3, 0.6, 1.5, 0.4, -0.3, 0.4, 0.8]
  static let mean = [0.5, -1, 2]

  static func apply(_ matrix: [Double], _ vector: [Double]) -> [Double] {
    (0..<3).map { row in (0..<3).reduce(0) { $0 + matrix[row * 3 + $1] * vector[$1] } }
  }

  /// y = D - μ solves (alpha² Σ + sigma² 1) y = alpha Σ (x - alpha μ).
  @Test func theDenoiserSolvesTheNormalEquations() throws {
    let system = try SymmetricEigensystem(Self.covariance, size: 3)
    let data = GaussianData(mean: Self.mean, variances: system.values, basis: system.vectors)
    let state = [0.3, -1.7, 0.9]
    for timestep in [50.0, 400, 900] {
      let point = VariancePreserving.stableDiffusion.point(at: timestep)
      let (alpha, sigma) = (point.alpha, point.sigma)
      let sample = data.prediction(.sample, of: DoubleTensor(state), at: point).values
      let deviation = zip(sample, Self.mean).map { $0 - $1 }
      let left = zip(Self.apply(Self.covariance, deviation), deviation).map { alpha * alpha * $0 + sigma * sigma * $1 }
      let residual = zip(state, Self.mean).map { $0 - alpha * $1 }
      let right = Self.apply(Self.covariance, residual).map { alpha * $0 }
      for (left, right) in zip(left, right) { #expect(abs(left - right) < 1e-13) }
    }
  }

  @Test func aSolverReachesTheExactTrajectory() async throws {
    let system = try SymmetricEigensystem(Self.covariance, size: 3)
    let data = GaussianData(mean: Self.mean, variances: system.values, basis: system.vectors)
    let plan = try SamplingPlan(
      DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent), on: .stableDiffusion,
      grid: UniformLambdaGrid(steps: 200))
    let start = DoubleTensor(noise: NoiseField(seed: 3), shape: [3])
    let image: DoubleTensor = try await plan.run(seed: 3, shape: [3]) { requests in
      requests.map { data.prediction(.epsilon, of: $0.state, at: $0.time) }
    }
    let exact = data.trajectory(of: start, from: plan.grid[0], to: plan.grid[200])
    #expect(image.relativeError(to: exact) < 1e-5)
  }
}
