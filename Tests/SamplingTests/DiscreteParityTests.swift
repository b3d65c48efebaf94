import RealModule
import Sampling
import Testing

/// Solvers for discrete times against diffusers 0.42.1, every recorded state of every recorded run.
///
/// diffusers' `fixed_large_log` takes the root of a logarithm and is not a number; it and `fixed_small_log` mean what
/// `DDPM.Variance` has without a logarithm.
@Suite("Parity with diffusers' discrete schedulers")
struct DiscreteParityTests {
  private static func check(
    _ file: String, count: Int, points: (SchedulerCase) throws -> [TimePoint],
    solver: (SchedulerCase) throws -> any Solver
  ) async throws {
    let examples = try SchedulerCase.all(file)
    #expect(examples.count == count)
    for example in examples {
      let latents = try await DiffusersParityTests.latents(
        solver(example), example, at: points(example), on: example.path(), from: example.initial,
        noise: example.noise ?? [])
      DiffusersParityTests.expectEqual(latents, example.double.latents, of: example)
    }
  }

  /// The times without repetition, and the end.
  private static func falling(_ example: SchedulerCase) throws -> [TimePoint] {
    let path = try example.path()
    var times: [Double] = []
    for time in example.double.timesteps where times.last != time { times.append(time) }
    return times.map { path.point(at: $0) } + [
      example.config.setAlphaToOne ?? true ? path.clean : path.point(at: 0)
    ]
  }

  /// With velocities diffusers averages those of different times and takes the mean for one at the last: not recorded.
  @Test func pndm() async throws {
    try await Self.check("pndm", count: 10, points: Self.falling) { example in
      PNDM(start: example.config.skipPrkSteps ?? false ? .repeated : .rungeKutta)
    }
  }

  @Test func pndmGrids() throws {
    for example in try SchedulerCase.all("pndm") where !(example.config.skipPrkSteps ?? false) {
      let grid = HalvedGrid(LeadingGrid(steps: example.steps))
      let times = try grid.points(on: example.path()).dropLast().map(\.timestep)
      #expect(try times == Self.falling(example).dropLast().map(\.timestep), "\(example.name)")
    }
  }

  /// The grid that a solver's name stands for, whose timesteps are those of diffusers.
  private static func ownGrid(_ example: SchedulerCase) throws -> [TimePoint] {
    let entry = try SolverCatalogue.entry(named: example.scheduler)
    let points = try entry.conventions.spacing.points(
      steps: example.steps, for: entry.conventions, on: example.path(),
      options: .init(originalSteps: example.config.originalInferenceSteps ?? 50))
    #expect(points.dropLast().map(\.timestep) == example.double.timesteps, "\(example.name)")
    return points
  }

  /// The last step's noise level is 0 in diffusers too, whatever its time.
  @Test func latentConsistency() async throws {
    try await Self.check("lcm", count: 8, points: Self.ownGrid) { _ in ConsistencySteps(.latentConsistency) }
  }

  @Test func trajectoryConsistency() async throws {
    try await Self.check("tcd", count: 8, points: Self.ownGrid) { try TCD(gamma: $0.step.eta ?? 0) }
  }

  /// Fewer of the timesteps are left below an image's noise.
  @Test func distilledTimesBelowAStart() throws {
    let grid = StartingGrid(DistilledGrid(steps: 3), at: .timestep(500))
    let points = try grid.points(on: .stableDiffusion)
    #expect(points.map(\.timestep).dropLast() == [500, 339, 179] && points[3].isClean)
    #expect(throws: SamplingError.invalidSteps(found: 26, allowed: 1...25)) {
      try StartingGrid(DistilledGrid(steps: 26), at: .timestep(500)).points(on: .stableDiffusion)
    }
  }

  /// The network sees the state scaled, and its output is not scaled.
  @Test func consistencyModels() async throws {
    let examples = try SchedulerCase.all("consistency")
    #expect(examples.count == 5)
    for example in examples {
      let levels = (example.double.sigmas ?? []).dropLast() + [0]
      let points = zip(levels, example.double.timesteps + [0]).map {
        TimePoint(timestep: $1, alpha: 1, sigma: $0)
      }
      let plan = try SamplingPlan(
        ConsistencySteps(.consistencyModel), at: points, prediction: .sample,
        bound: example.config.clipDenoised ?? true ? .clip(limit: 1) : nil)
      let start = RecordedTensor(DoubleTensor(example.initial.map { $0 * example.double.initNoiseSigma }))
      var states: [[Double]] = []
      let result = try await RecordedTensor.$noise.withValue(example.noise ?? []) {
        try await plan.run(fields: [NoiseField(seed: 0)], shape: start.shape, start: .states([start])) { requests in
          requests.map { request in
            states.append(request.state.base.values)
            let sigma = request.time.sigma
            return SchedulerCase.model(
              .combining((1 / (sigma * sigma + 0.25).squareRoot(), request.state)), at: request.time)
          }
        }
      }
      DiffusersParityTests.expectEqual(
        states.dropFirst() + [result[0].base.values], example.double.latents, of: example)
    }
  }

  @Test func ddimInverse() async throws {
    func points(_ example: SchedulerCase) throws -> [TimePoint] {
      let path = try example.path()
      let start = example.config.setAlphaToOne ?? true ? path.clean : path.point(at: 0)
      return [start] + example.double.timesteps.map { path.point(at: $0) }
    }
    try await Self.check("ddim_inverse", count: 7, points: points) { _ in DDIMInversion(tellsEnd: true) }
  }

  @Test func multistepInverse() async throws {
    func points(_ example: SchedulerCase) -> [TimePoint] {
      zip(example.double.sigmas ?? [], example.double.modelTimes + [999]).map { sigma, time in
        let alpha = 1 / (1 + sigma * sigma).squareRoot()
        return TimePoint(timestep: time, alpha: alpha, sigma: sigma * alpha)
      }
    }
    try await Self.check("dpm_inverse", count: 8, points: points) { Inverted(try $0.multistepDPMSolver()) }
  }
}
