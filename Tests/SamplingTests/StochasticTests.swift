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

  init(_ coefficients: [UInt32: Double], constant: Double = 0) {
    self.coefficients = coefficients
    self.constant = constant
  }

  mutating func assign(_ combination: LinearCombination<LinearForm>) {
    var sum = LinearForm(zeros: [])
    for term in combination.terms {
      sum.constant += term.coefficient * term.operand.constant
      sum.coefficients.merge(term.operand.coefficients.mapValues { term.coefficient * $0 }, uniquingKeysWith: +)
    }
    for noise in combination.noises { sum.coefficients[noise.field.stream, default: 0] += noise.coefficient }
    self = sum
  }

  mutating func clamp(to bounds: ClosedRange<Double>) { Issue.record("a linear form cannot be clamped") }
  // Nothing that a plan needs.
  func innerProduct(_ other: LinearForm) -> Double { constant * other.constant }
  func sum() -> Double { constant }
  func magnitudeQuantile(_ q: Double) -> Double { abs(constant) }

  var variance: Double { coefficients.values.reduce(0) { $0 + $1 * $1 } }
}

/// Mean and variance of what stochastic solvers return on Gaussian data, whose denoiser is affine: no Monte Carlo.
@Suite("Stochastic solvers")
struct StochasticTests {
  static let path = VariancePreserving.stableDiffusion
  static let mean = 0.7

  static func points(steps: Int) -> [TimePoint] {
    (0...steps).map { path.point(lambda: -2.6 + 5.6 * Double($0) / Double(steps)) }
  }

  /// The exact distribution at a point.
  static func marginal(_ variance: Double, at point: TimePoint) -> LinearForm {
    LinearForm(
      [0: (point.alpha * point.alpha * variance + point.sigma * point.sigma).squareRoot()],
      constant: point.alpha * mean)
  }

  /// The states after every step, started from the exact distribution.
  static func states(_ solver: some Solver, _ variance: Double, steps: Int) async throws -> [LinearForm] {
    let points = points(steps: steps)
    var states: [LinearForm] = []
    _ = try await SamplingPlan(solver, at: points, prediction: .sample).run(
      fields: [NoiseField(seed: 0)], shape: [], start: .unitVariance([marginal(variance, at: points[0])]),
      observe: { states.append($0.states[0]) }
    ) { requests in
      requests.map { request in
        let (alpha, sigma) = (request.time.alpha, request.time.sigma)
        let gain = alpha * variance / (alpha * alpha * variance + sigma * sigma)
        var guess = LinearForm.combining((gain, request.state))
        guess.constant += mean - gain * alpha * mean
        return guess
      }
    }
    return states
  }

  static let solvers: [any Solver] = {
    do {
      return try [
        DDPM(), DDPM(variance: .fixedLarge), DDIM(eta: 1), DDIM(eta: 0.5), DDIM(),
      ]
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  /// The mean is exact at any step, the variance of first order: twice the steps, half the error.
  @Test(arguments: solvers.indices) func theDistributionConverges(_ index: Int) async throws {
    let variance = 0.3
    let end = try #require(Self.points(steps: 1).last)
    let exact = Self.marginal(variance, at: end)
    var errors: [Double] = []
    for steps in [200, 400, 800] {
      let result = try #require(try await Self.states(Self.solvers[index], variance, steps: steps).last)
      #expect(abs(result.constant / exact.constant - 1) <= 1e-12)
      errors.append(abs(result.variance / exact.variance - 1))
    }
    #expect(errors[2] < 0.02)
    for (coarse, fine) in zip(errors, errors.dropFirst()) { #expect(abs(coarse / fine - 2) < 0.1, "\(errors)") }
  }

  /// Data that is a single point: the reverse step's variance is β̃, however long the step. DDIM is exact with any eta.
  @Test(arguments: [1, 2, 5, 30]) func smallVarianceIsExactForAPoint(_ steps: Int) async throws {
    for solver in [DDPM(), try DDIM(eta: 1), try DDIM(eta: 0.3), DDIM()] as [any Solver] {
      try await expectExact(solver, variance: 0, steps: steps)
    }
  }

  /// Standard normal data: the reverse step's variance is β.
  @Test(arguments: [1, 2, 5, 30]) func largeVarianceIsExactForNormalData(_ steps: Int) async throws {
    try await expectExact(DDPM(variance: .fixedLarge), variance: 1, steps: steps)
  }

  private func expectExact(_ solver: some Solver, variance: Double, steps: Int) async throws {
    let states = try await Self.states(solver, variance, steps: steps)
    #expect(states.count == steps)
    for (state, point) in zip(states, Self.points(steps: steps).dropFirst()) {
      let exact = Self.marginal(variance, at: point)
      #expect(abs(state.constant - exact.constant) <= 1e-14, "\(solver.name)")
      #expect(abs(state.variance / exact.variance - 1) <= 1e-12, "\(solver.name)")
    }
  }

  /// Every output of the model and every draw enters every state with the same coefficient.
  @Test func ddimWithEtaOneIsDDPM() async throws {
    let grid = LeadingGrid(steps: 25, offset: 1)
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      func states(_ solver: some Solver) async throws -> [LinearForm] {
        var (outputs, states): (UInt32, [LinearForm]) = (0, [])
        _ = try await SamplingPlan(solver, on: .stableDiffusion, grid: grid, prediction: prediction).run(
          fields: [NoiseField(seed: 0)], shape: [], observe: { states.append($0.states[0]) }
        ) { (requests: [DenoiserRequest<LinearForm>]) in
          outputs += 1
          return requests.map { _ in LinearForm([1000 + outputs: 1]) }
        }
        return states
      }
      let (ddpm, ddim) = (try await states(DDPM()), try await states(DDIM(eta: 1)))
      #expect(ddpm.count == 25 && ddim.count == 25)
      // z₀, the outputs, and a draw for every step but the last, which makes the state the predicted image.
      #expect(ddpm[23].coefficients.count == 1 + 24 + 24)
      #expect(ddpm[24].coefficients.count == (prediction == .sample ? 1 : 1 + 25 + 24))
      for (first, second) in zip(ddpm, ddim) {
        for key in Set(first.coefficients.keys).union(second.coefficients.keys) {
          let (a, b) = (first.coefficients[key, default: 0], second.coefficients[key, default: 0])
          #expect(abs(a - b) <= 1e-12, "\(prediction), \(key)")
        }
      }
    }
  }

  @Test func fixedLargeAddsTheForwardVariance() throws {
    let (s, t) = (Self.path.point(at: 600), Self.path.point(at: 580))
    let plan = try SamplingPlan(DDPM(variance: .fixedLarge), at: [s, t], prediction: .sample)
    let ratio = s.alpha / t.alpha
    let noise = plan.operations.compactMap { operation -> Double? in
      if case .combine(let combination) = operation { combination.noises.first?.coefficient } else { nil }
    }
    #expect(noise.count == 1)
    #expect(abs(noise[0] * noise[0] - (1 - ratio * ratio)) < 1e-15)
  }

  /// The image is the posterior's mean: noise would stay in it.
  @Test(arguments: solvers.indices) func theLastStepToCleanAddsNoNoise(_ index: Int) throws {
    let plan = try SamplingPlan(Self.solvers[index], on: Self.path, grid: TrailingGrid(steps: 4))
    guard case .combine(let last) = plan.operations.last else {
      Issue.record("the plan does not end with a step")
      return
    }
    #expect(last.noises.isEmpty && last.completedStep == 4)
  }
}
