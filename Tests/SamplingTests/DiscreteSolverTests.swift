import RealModule
import Sampling
import Testing

/// PNDM, inversion, consistency steps and Restart by their properties.
@Suite("Discrete solvers")
struct DiscreteSolverTests {
  /// Equal steps in time, for which PNDM's weights are made; halved where it starts with Runge-Kutta steps.
  static func points(_ start: PNDM.Start, steps: Int) throws -> [TimePoint] {
    let path = VariancePreserving.stableDiffusion
    let times = (0...steps).map { 900 - 820 * Double($0) / Double(steps) }
    let points = times.map { path.point(at: $0) }
    guard start == .rungeKutta else { return points }
    return zip(points, points.dropFirst()).enumerated().flatMap { index, step in
      index < 3 ? [step.0, path.point(at: (step.0.timestep + step.1.timestep) / 2)] : [step.0]
    } + points.suffix(1)
  }

  @Test(arguments: PNDM.Start.allCases) func pndmHasOrderTwo(_ start: PNDM.Start) async throws {
    let solver = PNDM(start: start)
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      let order = try await ExactProblem.order(of: solver, prediction: prediction, coarse: 100) {
        (try? Self.points(start, steps: $0)) ?? []
      }
      let mixture = try await MixtureProblem.order(of: solver, prediction: prediction, coarse: 100) {
        (try? Self.points(start, steps: $0)) ?? []
      }
      print("\(solver.name), \(prediction): measured \(order) and \(mixture)")
      #expect(abs(order - 2) < 0.15 && abs(mixture - 2) < 0.15)
    }
  }

  static let inversions: [any Solver] = {
    let multistep = try? [
      Inverted(DPMSolverMultistep(.sample, order: 1)), Inverted(DPMSolverMultistep(.sample, order: 2)),
      Inverted(DPMSolverMultistep(.epsilon, order: 2)),
      Inverted(DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent)),
    ]
    return [DDIMInversion()] + (multistep ?? [])
  }()

  @Test(arguments: inversions.indices) func inversionsHaveTheirOrder(_ index: Int) async throws {
    let solver = Self.inversions[index]
    #expect(Self.inversions.count == 5 && solver.isInversion)
    let claimed = Double(try #require(solver.order))
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      let order = try await ExactProblem.order(of: solver, prediction: prediction, coarse: 96) {
        ExactProblem.points(.stableDiffusion, steps: $0, from: -2.5, to: 3).reversed()
      }
      print("\(solver.name), \(prediction): measured \(order)")
      #expect(abs(order - claimed) < 0.15)
    }
  }

  /// From an image to noise and back: the distance falls with the order of the solver.
  @Test func inversionsAreTakenBack() async throws {
    let pairs: [(there: any Solver, back: any Solver, order: Double)] = try [
      (DDIMInversion(), DDIM(), 1),
      (
        Inverted(DPMSolverMultistep(.sample, order: 2)), DPMSolverMultistep(.sample, order: 2), 2
      ),
    ]
    for (there, back, order) in pairs {
      var errors: [Double] = []
      for steps in [100, 400] {
        let points = ExactProblem.points(.stableDiffusion, steps: steps, from: -2.5, to: 3)
        let up = try SamplingPlan(there, at: points.reversed(), prediction: .epsilon)
        let noise = try await up.solve(ExactProblem.data, from: [ExactProblem.start])[0].state
        let down = try SamplingPlan(back, at: points, prediction: .epsilon)
        let unit = DoubleTensor.combining((1 / down.initialScale, noise))
        let image = try await down.solve(ExactProblem.data, from: [unit])[0].state
        errors.append(image.relativeError(to: .combining((up.initialScale, ExactProblem.start))))
      }
      let measured = Double.log(errors[0] / errors[1]) / Double.log(4)
      print("\(there.name) and back: \(errors), order \(measured)")
      #expect(abs(measured - order) < 0.15)
    }
  }

  /// With γ 0 the step ends where it is said to.
  @Test func tcdWithoutNoiseIsDDIM() throws {
    let grid = DistilledGrid(steps: 6, end: .leastNoise)
    for prediction in [Prediction.epsilon, .velocity] {
      let solvers: [any Solver] = [try TCD(gamma: 0), DDIM()]
      let plans = try solvers.map {
        try SamplingPlan($0, on: .stableDiffusion, grid: grid, prediction: prediction)
      }
      #expect(plans[0].operations == plans[1].operations)
    }
    for gamma in [-0.1, 1.1, .nan] { #expect(throws: SamplingError.self) { try TCD(gamma: gamma) } }
  }

  /// What TCD and consistency steps leave has the mean and the variance of its level: for data that are a point,
  /// exactly.
  @Test func noisedGuessesHaveTheirLevel() async throws {
    let path = VariancePreserving.stableDiffusion
    let times = [999.0, 759, 499, 259]
    let points = times.map { path.point(at: $0) } + [path.clean]
    let start = LinearForm([0: points[0].sigma], constant: 2 * points[0].alpha)
    for solver in [try TCD(gamma: 0), try TCD(gamma: 0.3), try TCD(gamma: 1), ConsistencySteps(.none)] as [any Solver] {
      var states: [LinearForm] = []
      _ = try await SamplingPlan(solver, at: points, on: path, prediction: .sample).run(
        fields: [NoiseField(seed: 0)], shape: [], start: .states([start]), observe: { states.append($0.states[0]) }
      ) { requests in requests.map { _ in LinearForm([:], constant: 2) } }
      #expect(states.count == 4)
      for (state, point) in zip(states, points.dropFirst()) {
        #expect(abs(state.constant - 2 * point.alpha) < 1e-12, "\(solver.name)")
        #expect(abs(state.variance - point.sigma * point.sigma) < 1e-12, "\(solver.name)")
      }
    }
  }

  /// A start that is off the path stays off it as far as TCD keeps the noise that it finds: with r the share of σ_t
  /// that is not fresh, the error of the mean falls to r σ_t / σ_s of it, and the variance's to the square of that.
  @Test(arguments: [0.0, 0.3, 0.6, 1]) func trajectoriesRememberTheirStart(_ gamma: Double) async throws {
    let path = VariancePreserving.stableDiffusion
    let points = [999.0, 759, 499, 259].map { path.point(at: $0) } + [path.clean]
    var states: [LinearForm] = []
    _ = try await SamplingPlan(TCD(gamma: gamma), at: points, on: path, prediction: .sample).run(
      fields: [NoiseField(seed: 0)], shape: [], start: .states([LinearForm([0: 0.5], constant: 2)]),
      observe: { states.append($0.states[0]) }
    ) { requests in requests.map { _ in LinearForm([:], constant: 2) } }
    var mean = 2 - 2 * points[0].alpha
    var variance = 0.25 - points[0].sigma * points[0].sigma
    for (state, (s, t)) in zip(states, zip(points, points.dropFirst())).dropLast() {
      let low = path.point(at: ((1 - gamma) * t.timestep).rounded(.down))
      // Noised up from `low`, signal and noise both shrink by the ratio of the alphas.
      let kept = t.alpha / low.alpha * low.sigma / s.sigma
      mean *= kept
      variance *= kept * kept
      #expect(abs(state.constant - 2 * t.alpha - mean) < 1e-12)
      #expect(abs(state.variance - t.sigma * t.sigma - variance) < 1e-12)
    }
    // The end keeps no noise.
    #expect(states.last?.constant == 2 && states.last?.variance == 0)
  }
}
