import RealModule
import Sampling
import Testing

/// Solvers against diffusers 0.42.1, every step of every recorded run, in double precision.
///
/// The grids are the recorded ones: what they should be is GridParityTests' subject.
@Suite("Parity with diffusers' schedulers")
struct DiffusersParityTests {
  /// Some hundred roundings, relative to the largest value.
  static let tolerance = 1e-11

  static func expectEqual(_ state: [Double], _ expected: [Double], _ comment: Comment) {
    let scale = expected.map(abs).max() ?? 1
    let error = zip(state, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(error <= tolerance * max(scale, 1), comment)
  }

  /// The states after every step of a plan, from the recorded start.
  static func states(
    _ solver: some Solver, _ example: SchedulerCase, at points: [TimePoint], from initial: [Double],
    noise: [Double] = []
  ) async throws -> (states: [[Double]], evaluations: Int) {
    let clips = example.config.clipSample ?? false
    let plan = try SamplingPlan(
      solver, at: points, prediction: example.prediction,
      clippedTo: clips ? example.config.clipSampleRange ?? 1 : nil)
    let start = RecordedTensor(DoubleTensor(initial.map { $0 / plan.initialScale }))
    var states: [[Double]] = []
    _ = try await RecordedTensor.$noise.withValue(noise) {
      try await plan.run(
        fields: [NoiseField(seed: 0)], shape: start.shape, initial: [start],
        observe: { states.append($0.states[0].base.values) },
        denoise: { $0.map { SchedulerCase.model($0.state, at: $0.time) } })
    }
    return (states, plan.evaluationCount)
  }

  /// Where a step of DDIM or DDPM goes: below timestep 0 to the end.
  static func target(_ time: Double, _ example: SchedulerCase, _ path: VariancePreserving, end: GridEnd) -> TimePoint {
    time >= 0 ? path.point(at: time) : end == .clean ? path.clean : path.point(at: 0)
  }

  /// One step at a time, each from the recorded state: diffusers' DDIM always goes to t - T / N, which on a linspace
  /// grid is not the next timestep.
  @Test func ddim() async throws {
    let examples = try SchedulerCase.all("ddim")
    #expect(examples.count == 18)
    for example in examples {
      let path = try example.path()
      let end: GridEnd = example.config.setAlphaToOne ?? true ? .clean : .leastNoise
      let solver = try DDIM(eta: example.step.eta ?? 0)
      for (index, time) in example.double.timesteps.enumerated() {
        let points = [
          path.point(at: time), Self.target(time - Double(1000 / example.steps), example, path, end: end),
        ]
        let previous = index == 0 ? example.initial : example.double.latents[index - 1]
        let run = try await Self.states(
          solver, example, at: points, from: previous, noise: example.noise?[index] ?? [])
        Self.expectEqual(run.states[0], example.double.latents[index], "\(example.name), step \(index)")
      }
    }
  }

  @Test func ddpm() async throws {
    let examples = try SchedulerCase.all("ddpm")
    #expect(examples.count == 10)
    for example in examples {
      let path = try example.path()
      let isLarge = example.config.varianceType == "fixed_large"
      let solver = DDPM(variance: isLarge ? .fixedLarge : .fixedSmall)
      let times = example.double.timesteps
      for (index, time) in times.enumerated() {
        let isLast = index == times.count - 1
        let points = [path.point(at: time), isLast ? path.clean : path.point(at: times[index + 1])]
        let previous = index == 0 ? example.initial : example.double.latents[index - 1]
        let noise = try #require(example.noise)[index]
        let run = try await Self.states(solver, example, at: points, from: previous, noise: noise)
        var expected = example.double.latents[index]
        if isLast, time > 0 {
          // diffusers adds the noise to the finished image unless the last timestep is 0; here it is left out.
          let forward = 1 - path.point(at: time).alpha * path.point(at: time).alpha
          let deviation = isLarge ? forward.squareRoot() : 1e-10
          expected = zip(expected, noise).map { $0 - deviation * $1 }
        }
        Self.expectEqual(run.states[0], expected, "\(example.name), step \(index)")
      }
    }
  }

  @Test func multistep() async throws {
    let examples = try SchedulerCase.all("dpm_multistep")
    var compared = 0
    for example in examples where example.config.eulerAtFinal != true {
      let config = example.config
      let solver = try DPMSolverMultistep(
        config.algorithmType == "dpmsolver++" ? .sample : .epsilon, order: config.solverOrder ?? 2,
        variant: config.solverType == "heun" ? .heun : .midpoint,
        lowersFinalOrder: example.steps < 15 && config.lowerOrderFinal ?? true)
      try await compare(solver, example)
      compared += 1
    }
    #expect((examples.count, compared) == (37, 36))
  }

  @Test func singlestep() async throws {
    let examples = try SchedulerCase.all("dpm_singlestep")
    #expect(examples.count == 28)
    for example in examples {
      let config = example.config
      let solver = try DPMSolverSinglestep(
        config.algorithmType == "dpmsolver++" ? .sample : .epsilon, order: config.solverOrder ?? 2,
        variant: config.solverType == "heun" ? .heun : .midpoint, lowersFinalOrder: config.lowerOrderFinal ?? false)
      try await compare(solver, example)
    }
  }

  private func compare(_ solver: some Solver, _ example: SchedulerCase) async throws {
    let points = example.points
    let run = try await Self.states(solver, example, at: points, from: example.initial)
    #expect(run.evaluations == example.evaluations)
    for (index, state) in run.states.enumerated() {
      Self.expectEqual(state, example.double.latents[index], "\(example.name), step \(index)")
    }
  }

  /// diffusers' Euler and Heun keep x / alpha.
  @Test(arguments: [("euler", 14), ("heun", 7)])
  func noiseLevel(_ file: String, _ count: Int) async throws {
    let examples = try SchedulerCase.all(file)
    #expect(examples.count == count)
    for example in examples {
      let isHeun = file == "heun"
      let points = example.points
      let initial = example.initial.map { points[0].alpha * example.double.initNoiseSigma * $0 }
      let run =
        isHeun
        ? try await Self.states(Heun(), example, at: points, from: initial)
        : try await Self.states(Euler(), example, at: points, from: initial)
      #expect(run.evaluations == example.evaluations)
      for (index, state) in run.states.enumerated() {
        let last = isHeun ? min(2 * index + 1, example.double.latents.count - 1) : index
        Self.expectEqual(
          state.map { $0 / points[index + 1].alpha }, example.double.latents[last], "\(example.name), step \(index)")
      }
    }
  }

  @Test func flow() async throws {
    let examples = try SchedulerCase.all("flow")
    #expect(examples.count == 6)
    for example in examples {
      let isHeun = example.scheduler.contains("Heun")
      let points = example.points
      let run =
        isHeun
        ? try await Self.states(FlowHeun(), example, at: points, from: example.initial)
        : try await Self.states(FlowEuler(), example, at: points, from: example.initial)
      #expect(run.evaluations == example.evaluations)
      for (index, state) in run.states.enumerated() {
        let last = isHeun ? min(2 * index + 1, example.double.latents.count - 1) : index
        Self.expectEqual(state, example.double.latents[last], "\(example.name), step \(index)")
      }
    }
  }
}
