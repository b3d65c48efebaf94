import RealModule
import Sampling
import Testing

/// A number as a linear form in independent standard normal draws: mean and variance of a run's result without drawing
/// anything.
struct LinearForm: Tensor {
  /// Draw 0 is the starting noise.
  var coefficients: [UInt32: Double] = [:]
  var constant = 0.0
  var shape: Shape { [] }

  init(zeros shape: Shape) {}

  mutating func assign(_ combination: LinearCombination<LinearForm>) {
    var sum = LinearForm(zeros: [])
    for term in combination.terms {
      sum.constant += term.coefficient * term.operand.constant
      sum.coefficients.merge(term.operand.coefficients.mapValues { term.coefficient * $0 }, uniquingKeysWith: +)
    }
    if let noise = combination.noise { sum.coefficients[noise.field.stream, default: 0] += noise.coefficient }
    self = sum
  }

  mutating func clamp(to bounds: ClosedRange<Double>) { Issue.record("a linear form cannot be clamped") }
  func rootMeanSquare() -> Double { abs(constant) }

  var variance: Double { coefficients.values.reduce(0) { $0 + $1 * $1 } }
}

/// Weak convergence on Gaussian data, whose denoiser is affine: no Monte Carlo.
@Suite("Stochastic solvers")
struct StochasticTests {
  static let mean = 0.7
  static let variance = 0.3

  static func result(_ solver: some Solver, steps: Int) async throws -> LinearForm {
    let path = VariancePreserving.stableDiffusion
    let points = (0...steps).map { path.point(lambda: -2.6 + 5.6 * Double($0) / Double(steps)) }
    return try await SamplingPlan(solver, at: points, prediction: .sample).run(
      fields: [NoiseField(seed: 0)], shape: []
    ) { requests in
      requests.map { request in
        let (alpha, sigma) = (request.time.alpha, request.time.sigma)
        let gain = alpha * variance / (alpha * alpha * variance + sigma * sigma)
        var guess = LinearForm.combining((gain, request.state))
        guess.constant += mean - gain * alpha * mean
        return guess
      }
    }[0]
  }

  /// The first-order error of mean and variance halves with the steps, and tends to what starting from noise of
  /// variance 1 instead of the state's own leaves.
  @Test(arguments: [0.0, 1.0]) func ancestralSamplingConverges(_ eta: Double) async throws {
    var variances: [Double] = []
    var means: [Double] = []
    for steps in [100, 200, 400] {
      let form =
        eta == 0 ? try await Self.result(DDPM(), steps: steps) : try await Self.result(DDIM(eta: eta), steps: steps)
      variances.append(form.variance)
      means.append(form.constant)
    }
    let ratio = (variances[0] - variances[1]) / (variances[1] - variances[2])
    #expect(abs(ratio - 2) < 0.15)
    let end = VariancePreserving.stableDiffusion.point(lambda: 3)
    let exact = end.alpha * end.alpha * Self.variance + end.sigma * end.sigma
    let extrapolated = 2 * variances[2] - variances[1]
    #expect(abs(extrapolated / exact - 1) < 2e-3)
    #expect(abs((2 * means[2] - means[1]) / (end.alpha * Self.mean) - 1) < 2e-3)
  }

  @Test func ddimWithEtaOneIsDDPM() async throws {
    let grid = LeadingGrid(steps: 25, offset: 1)
    let ddpm = try SamplingPlan(DDPM(), on: .stableDiffusion, grid: grid, prediction: .epsilon)
    let ddim = try SamplingPlan(DDIM(eta: 1), on: .stableDiffusion, grid: grid, prediction: .epsilon)
    #expect(ddpm.evaluationCount == ddim.evaluationCount)
    func effects(_ plan: SamplingPlan) async throws -> LinearForm {
      try await plan.run(fields: [NoiseField(seed: 0)], shape: []) { requests in
        requests.map { LinearForm.combining((0.3 + $0.time.sigma, $0.state)) }
      }[0]
    }
    let (first, second) = (try await effects(ddpm), try await effects(ddim))
    #expect(first.coefficients.count == 25)
    for (stream, coefficient) in first.coefficients {
      #expect(abs(coefficient - second.coefficients[stream, default: .nan]) < 1e-12)
    }
  }

  @Test func fixedLargeAddsTheForwardVariance() throws {
    let path = VariancePreserving.stableDiffusion
    let (s, t) = (path.point(at: 600), path.point(at: 580))
    let plan = try SamplingPlan(DDPM(variance: .fixedLarge), at: [s, t], prediction: .sample)
    let ratio = s.alpha / t.alpha
    let noise = plan.operations.compactMap { operation -> Double? in
      if case .combine(let combination) = operation { combination.noise?.coefficient } else { nil }
    }
    #expect(noise.count == 1)
    #expect(abs(noise[0] * noise[0] - (1 - ratio * ratio)) < 1e-14)
  }
}
