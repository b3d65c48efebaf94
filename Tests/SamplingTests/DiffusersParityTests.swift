import RealModule
import Sampling
import Testing

/// Solvers against diffusers 0.42.1, every recorded state of every recorded run, in double precision.
///
/// The grids are the recorded ones: what they should be is GridParityTests' subject. Where a step differs by intention,
/// the test says what the difference is:
/// - DDIM goes to the grid's next point, diffusers' to t - T / N: another on linspace and uneven trailing grids.
/// - DDPM adds no noise to the finished image, diffusers' does unless the last timestep is 0.
@Suite("Parity with diffusers' schedulers")
struct DiffusersParityTests {
  /// Fifty steps of a few roundings each, relative to the largest value.
  static let tolerance = 5e-14

  static func expectEqual(_ state: [Double], _ expected: [Double], _ comment: Comment) {
    let scale = expected.map(abs).max() ?? 1
    #expect(
      state.count == expected.count && zip(state, expected).allSatisfy { abs($0 - $1) <= tolerance * max(scale, 1) },
      comment)
  }

  /// What the recorded runs call `latents`: every state but the first that the model sees, and the result.
  static func latents(
    _ solver: some Solver, _ example: SchedulerCase, at points: [TimePoint], on path: (any NoisePath)? = nil,
    from initial: [Double], noise: [[Double]] = []
  ) async throws -> [[Double]] {
    let clips = example.config.clipSample ?? false
    let plan = try SamplingPlan(
      solver, at: points, on: path, prediction: example.prediction,
      bound: clips ? .clip(limit: example.config.clipSampleRange ?? 1) : nil)
    let start = RecordedTensor(DoubleTensor(initial.map { $0 / plan.initialScale }))
    // diffusers' solvers in the noise level keep x / alpha.
    let isScaled = ["Euler", "Heun", "KDPM2", "LMS"].contains { example.scheduler == "\($0)DiscreteScheduler" }
    var states: [[Double]] = []
    func record(_ state: RecordedTensor, _ point: TimePoint) {
      states.append(state.base.values.map { isScaled ? $0 / point.alpha : $0 })
    }
    let result = try await RecordedTensor.$noise.withValue(noise) {
      try await plan.run(
        fields: [NoiseField(seed: 0)], shape: start.shape, start: .unitVariance([start])
      ) { requests in
        let outputs = requests.map { request in
          record(request.state, request.time)
          return SchedulerCase.model(request.state, at: request.time)
        }
        guard plan.readsVariance else { return outputs }
        return outputs + requests.map { SchedulerCase.variance($0.state, at: $0.time) }
      }
    }
    record(result[0], points[points.count - 1])
    return Array(states.dropFirst())
  }

  static func expectEqual(_ latents: [[Double]], _ expected: [[Double]], of example: SchedulerCase) {
    #expect(latents.count == expected.count, "\(example.name)")
    for (index, (state, expected)) in zip(latents, expected).enumerated() {
      expectEqual(state, expected, "\(example.name), evaluation \(index)")
    }
  }

  /// Whole runs where diffusers' t - T / N is the grid's next point, single steps from the recorded states elsewhere.
  @Test func ddim() async throws {
    var (runs, singleSteps) = (0, 0)
    for example in try SchedulerCase.all("ddim") {
      let path = try example.path()
      let end: GridEnd = example.config.setAlphaToOne ?? true ? .clean : .leastNoise
      let solver = try DDIM(eta: example.step.eta ?? 0, followsBound: example.step.useClippedModelOutput ?? false)
      let (times, recorded) = (example.double.timesteps, example.double.latents)
      let targets = times.map { time -> TimePoint in
        let target = time - Double(1000 / example.steps)
        return target >= 0 ? path.point(at: target) : end == .clean ? path.clean : path.point(at: 0)
      }
      if targets.dropLast() == times.dropFirst().map({ path.point(at: $0) })[...] {
        runs += 1
        let points = times.map { path.point(at: $0) } + targets.suffix(1)
        let latents = try await Self.latents(
          solver, example, at: points, from: example.initial, noise: example.noise ?? [])
        Self.expectEqual(latents, recorded, of: example)
      } else {
        singleSteps += 1
        for (index, previous) in ([example.initial] + recorded.dropLast()).enumerated() {
          let latents = try await Self.latents(
            solver, example, at: [path.point(at: times[index]), targets[index]], from: previous)
          Self.expectEqual(latents[0], recorded[index], "\(example.name), step \(index)")
        }
      }
    }
    #expect((runs, singleSteps) == (20, 4))
  }

  @Test func ddpm() async throws {
    let examples = try SchedulerCase.all("ddpm")
    var noisyEnds = 0
    for example in examples {
      let path = try example.path()
      let variances: [String: DDPM.Variance] = [
        "fixed_small": .fixedSmall, "fixed_large": .fixedLarge, "learned_range": .learnedRange,
      ]
      let variance = try #require(variances[example.config.varianceType ?? ""])
      let noise = try #require(example.noise)
      let latents = try await Self.latents(
        DDPM(variance: variance), example,
        at: example.double.timesteps.map { path.point(at: $0) } + [path.clean], from: example.initial, noise: noise)
      var expected = example.double.latents
      let last = expected.count - 1
      let time = example.double.timesteps[last]
      if time > 0 {
        noisyEnds += 1
        let deviation = variance == .fixedLarge ? path.point(at: time).sigma : 1e-10
        expected[last] = zip(expected[last], noise[last]).map { $0 - deviation * $1 }
      }
      Self.expectEqual(latents, expected, of: example)
    }
    #expect((examples.count, noisyEnds) == (15, 3))
  }

  @Test func multistep() async throws {
    let examples = try SchedulerCase.all("dpm_multistep")
    for example in examples {
      let latents = try await Self.latents(
        example.multistepDPMSolver(), example, at: example.points, from: example.initial)
      Self.expectEqual(latents, example.double.latents, of: example)
    }
    #expect(examples.count == 37)
  }

  @Test func singlestep() async throws {
    let examples = try SchedulerCase.all("dpm_singlestep")
    #expect(examples.count == 32)
    for example in examples {
      let config = example.config
      let solver = try DPMSolverSinglestep(
        config.algorithmType == "dpmsolver++" ? .sample : .epsilon, order: config.solverOrder ?? 2,
        variant: config.solverType == "heun" ? .heun : .midpoint, lowersFinalOrder: config.lowerOrderFinal ?? false)
      let latents = try await Self.latents(solver, example, at: example.points, from: example.initial)
      Self.expectEqual(latents, example.double.latents, of: example)
    }
  }

  static let noiseLevels: [(file: String, count: Int, solver: @Sendable (SchedulerCase) throws -> any Solver)] = [
    ("euler", 19, { _ in Euler() }), ("heun", 9, { _ in Heun() }), ("kdpm2", 9, { _ in DPM2() }),
    ("lms", 14, { try IPNDM(order: $0.step.order ?? 4, spacing: .uneven) }),
  ]

  /// diffusers starts at `init_noise_sigma` in units of alpha; the plan's own start is of unit variance.
  @Test(arguments: noiseLevels.indices) func noiseLevel(_ index: Int) async throws {
    let (file, count, solver) = Self.noiseLevels[index]
    let examples = try SchedulerCase.all(file)
    #expect(examples.count == count)
    for example in examples {
      let points = example.points
      let latents = try await Self.latents(
        solver(example), example, at: points, on: example.path(),
        from: example.initial.map { points[0].alpha * example.double.initNoiseSigma * $0 })
      Self.expectEqual(latents, example.double.latents, of: example)
    }
  }

  @Test func flow() async throws {
    let examples = try SchedulerCase.all("flow")
    #expect(examples.count == 11)
    for example in examples {
      let solver: any Solver = example.scheduler.contains("Heun") ? FlowRungeKutta(.heun) : FlowRungeKutta(.euler)
      let latents = try await Self.latents(solver, example, at: example.points, from: example.initial)
      Self.expectEqual(latents, example.double.latents, of: example)
    }
  }
}
