import RealModule
import Sampling
import Testing

/// Every β schedule of diffusers 0.42.1 and its zero terminal signal: Tests/Fixtures/schedulers/noise_paths.json.
@Suite("Noise paths agree with diffusers")
struct NoisePathParityTests {
  struct Case: Decodable {
    let name: String
    let betaSchedule: String?
    let betaStart: Double?
    let betaEnd: Double?
    let trainedBetas: [Double]?
    let rescales: Bool
    let timesteps: [Double]
    let alphasCumprod: [Double]

    func path() throws -> VariancePreserving {
      let signal: VariancePreserving.TerminalSignal =
        name == "nearly-zero-snr" ? .nearlyZero : rescales ? .zero : .trained
      if let trainedBetas { return try VariancePreserving(betas: trainedBetas, terminalSignal: signal) }
      let (start, end) = (betaStart ?? 0.0001, betaEnd ?? 0.02)
      let schedule: BetaSchedule =
        switch betaSchedule {
        case "scaled_linear": .scaledLinear(start: start, end: end)
        case "squaredcos_cap_v2": .squaredCosine
        case "sigmoid": .sigmoid(start: start, end: end)
        case "exp": .exponential
        case "laplace": .laplace
        default: .linear(start: start, end: end)
        }
      return try VariancePreserving(schedule, terminalSignal: signal)
    }
  }

  @Test func signalAndNoise() throws {
    let cases: [Case] = try NamedGridParityTests.all("noise_paths")
    #expect(cases.count == 11)
    for example in cases {
      let path = try example.path()
      for (timestep, signal) in zip(example.timesteps, example.alphasCumprod) {
        let point = path.point(at: timestep)
        let (found, noise) = (point.alpha * point.alpha, point.sigma * point.sigma)
        // diffusers' products of 1 - β keep the digits of 1, and ᾱ those of the smallest factor; it subtracts from 1.
        #expect(abs(found - signal) <= 1e-12 * signal, "\(example.name) at \(timestep)")
        #expect(abs(noise - (1 - signal)) <= 1e-15 + 1e-13 * noise, "\(example.name) at \(timestep)")
      }
      if example.rescales {
        #expect((path.point(at: 999).alpha == 0) == (example.name != "nearly-zero-snr"))
      }
    }
  }
}

@Suite("Zero terminal signal")
struct ZeroTerminalSignalTests {
  static func path() throws -> VariancePreserving {
    try VariancePreserving(.scaledLinear(start: 0.00085, end: 0.012), terminalSignal: .zero)
  }

  /// √ᾱ as algorithm 1 of arXiv:2305.08891 has it, plainly.
  @Test func isTheAlgorithm() throws {
    let path = try Self.path()
    let trained = VariancePreserving.stableDiffusion
    let (first, last) = (trained.point(at: 0).alpha, trained.point(at: 999).alpha)
    for timestep in stride(from: 0.0, through: 999, by: 37) {
      let expected = (trained.point(at: timestep).alpha - last) * first / (first - last)
      #expect(abs(path.point(at: timestep).alpha - expected) < 1e-15)
    }
    let end = path.point(at: 999)
    #expect(end.alpha == 0 && end.sigma == 1 && end.lambda == -.infinity && end.timestep == 999)
  }

  /// With linear β the rescaled ᾱ is 4e-9 at timestep 998, and 2⁻²⁴ after it would be a rise.
  @Test func nearlyZeroIsLessThanBefore() throws {
    let path = try VariancePreserving(.linear(start: 0.0001, end: 0.02), terminalSignal: .nearlyZero)
    let (before, last) = (path.point(at: 998), path.point(at: 999))
    #expect(before.alpha * before.alpha < .exp2(-24))
    #expect(abs(last.noiseToSignal / before.noiseToSignal - 2) < 1e-12)
  }

  @Test func theLastIntervalIsContinuous() throws {
    let path = try Self.path()
    var earlier = path.point(at: 998)
    for fraction in [0.1, 0.5, 0.9, 0.999, 1] {
      let point = path.point(at: 998 + fraction)
      #expect(point.alpha < earlier.alpha && point.lambda < earlier.lambda)
      let back = path.point(lambda: point.lambda)
      #expect(abs(back.timestep - point.timestep) < 1e-11 && abs(back.alpha - point.alpha) < 1e-15)
      earlier = point
    }
    #expect(abs(path.point(at: 998 + 1e-9).lambda - path.point(at: 998).lambda) < 1e-8)
    #expect(path.point(lambda: -.infinity) == path.point(at: 999))
  }

  /// A model of v, x₀ or F can begin where there is nothing but noise; one of ε cannot.
  @Test(arguments: [DDIM() as any Solver, DDPM()]) func epsilonIsRefused(_ solver: any Solver) async throws {
    let points = try TrailingGrid(steps: 6).points(on: Self.path())
    #expect(points[0].alpha == 0)
    for prediction in [Prediction.velocity, .sample, .flow, .edm] {
      let plan = try SamplingPlan(solver, at: points, prediction: prediction)
      #expect(plan.initialScale == 1)
    }
    let error = #expect(throws: SamplingError.self) { try SamplingPlan(solver, at: points, prediction: .epsilon) }
    guard case .incompatible(solver.name, let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains("ε") && reason.contains("999"))
    #expect(throws: SamplingError.self) { try KarrasGrid(steps: 6).points(on: Self.path()) }
    #expect(throws: SamplingError.self) { try UniformLambdaGrid(steps: 6).points(on: Self.path()) }
  }

  /// DDIM's first step from pure noise lands where x₀ is the mean of the data, and converges with order 1.
  @Test func ddimConverges() async throws {
    let path = try Self.path()
    var errors: [Double] = []
    for steps in [200, 800] {
      let points = (0...steps).map { path.point(position: 999 - 979 * Double($0) / Double(steps)) }
      errors.append(try await ExactProblem.error(of: DDIM(), prediction: .velocity, at: points))
    }
    let order = Double.log(errors[0] / errors[1]) / .log(4)
    print("ddim from zero signal: measured \(order)")
    #expect(abs(order - 1) < 0.15)
  }
}
