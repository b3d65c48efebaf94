import RealModule
import Sampling
import Testing

/// Solvers of the reverse SDE against diffusers 0.42.1, with the noise that was recorded: as ``DiffusersParityTests``.
///
/// diffusers' `sde-dpmsolver` of order 3 and its SA-Solver without corrector end in exceptions, so nothing is recorded
/// of them. Where a plan's draws within a step overlap, as those of one Brownian path do, diffusers' singlestep class
/// draws each afresh, and its DPMSolverSDEScheduler has a path that runs on sigma in place of e^(2 lambda): the plan is
/// given the draws that add up to the recorded ones.
@Suite("Parity with diffusers' stochastic schedulers")
struct StochasticParityTests {
  struct Family: Sendable, CustomTestStringConvertible {
    let file: String
    let count: Int
    let solver: @Sendable (SchedulerCase) throws -> any Solver
    var testDescription: String { file }
  }

  static let families: [Family] = [
    Family(file: "sde_multistep", count: 36) { example in
      let order = example.config.solverOrder ?? 2
      return try DPMSolverSDEMultistep(
        example.algorithm, order: order, variant: example.variant, thirdOrder: order == 3 ? .published : .halved,
        lowersFinalOrder: example.steps < 15 && example.config.lowerOrderFinal ?? true)
    },
    Family(file: "sde_singlestep", count: 19) { example in
      try DPMSolverSDESinglestep(
        .sample, order: example.config.solverOrder ?? 2, variant: example.variant, thirdOrder: .published,
        lowersFinalOrder: example.config.lowerOrderFinal ?? false)
    },
    Family(file: "euler_ancestral", count: 16) { _ in try EulerAncestral() },
    Family(file: "kdpm2_ancestral", count: 8) { _ in try SecondOrderAncestral(.dpm2) },
    Family(file: "dpm_sde", count: 9) { _ in try DPMPlusPlusSDE() },
    Family(file: "sa_solver", count: 38) { example in
      try SASolver(
        example.algorithm, predictorOrder: example.config.predictorOrder ?? 2,
        correctorOrder: example.config.correctorOrder ?? 2, lowersFinalOrder: example.config.lowerOrderFinal ?? true)
    },
    Family(file: "euler_churn", count: 10) { example in
      ChurnedSolver(
        .publishedEuler,
        churn: try Churn(
          amount: example.step.sChurn ?? 0, levels: (example.step.sTmin ?? 0)...(example.step.sTmax ?? .infinity),
          noiseScale: example.step.sNoise ?? 1))
    },
  ]

  @Test(arguments: families) func parity(_ family: Family) async throws {
    let examples = try SchedulerCase.all(family.file)
    #expect(examples.count == family.count)
    var largest = 0.0
    for example in examples {
      let latents = try await Self.latents(family.solver(example), example)
      DiffusersParityTests.expectEqual(latents, example.double.latents, of: example)
      largest = max(largest, ExponentialParityTests.difference(latents, example.double.latents))
    }
    print("\(family.file): largest difference \(largest)")
  }

  /// Every state but the first that the model sees, and the result. Noise-level classes keep x / alpha.
  static func latents(_ solver: any Solver, _ example: SchedulerCase) async throws -> [[Double]] {
    let points = Self.points(example)
    let plan = try SamplingPlan(solver, at: points, on: example.path(), prediction: example.prediction)
    let isScaled = !example.scheduler.contains("step") && example.scheduler != "SASolverScheduler"
    let scale = isScaled ? points[0].alpha * example.double.initNoiseSigma : 1
    let start = RecordedTensor(DoubleTensor(example.initial.map { $0 * scale / plan.initialScale }))
    var states: [[Double]] = []
    func record(_ state: RecordedTensor, _ point: TimePoint) {
      states.append(state.base.values.map { isScaled ? $0 / point.alpha : $0 })
    }
    let draws = try draws(of: plan, rows: #require(example.noise))
    let result = try await RecordedTensor.$noise.withValue(draws) {
      try await plan.run(fields: [NoiseField(seed: 0)], shape: start.shape, start: .unitVariance([start])) { requests in
        requests.map { request in
          let time = example.double.modelTimes[states.count]
          #expect(abs(request.time.timestep - time) < 1e-6, "\(example.name), evaluation \(states.count)")
          record(request.state, request.time)
          return SchedulerCase.model(
            request.state, at: TimePoint(timestep: time, alpha: request.time.alpha, sigma: request.time.sigma))
        }
      }
    }
    record(result[0], points[points.count - 1])
    return Array(states.dropFirst())
  }

  /// The grid's own points. The classes of two stages list most sigmas twice, and the time of the second stage between.
  private static func points(_ example: SchedulerCase) -> [TimePoint] {
    guard ["KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"].contains(example.scheduler) else {
      return example.points
    }
    var sigmas: [Double] = []
    for sigma in example.double.sigmas ?? [] where sigmas.last != sigma { sigmas.append(sigma) }
    let times = example.double.modelTimes.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element)
    return zip(sigmas, times + [0]).map { sigma, time in
      let alpha = 1 / (1 + sigma * sigma).squareRoot()
      return TimePoint(timestep: time, alpha: alpha, sigma: sigma * alpha)
    }
  }

  /// The plan's draws, such that the noise it adds after the model's evaluation n is row n, up to its deviation.
  static func draws(of plan: SamplingPlan, rows: [[Double]]) throws -> [[Double]] {
    var (draws, evaluations): ([[Double]], Int) = ([], 0)
    for operation in plan.operations {
      switch operation {
      case .evaluate: evaluations += 1
      case .estimate: break
      case .combine(let combination):
        // A step that is corrected has the noise of its prediction.
        guard let last = combination.noises.first(where: { $0.stream > draws.count }) else { continue }
        try #require(Int(last.stream) == draws.count + 1)
        let deviation = combination.noises.reduce(0) { $0 + $1.coefficient * $1.coefficient }.squareRoot()
        var draw = rows[evaluations - 1].map { $0 * deviation / last.coefficient }
        for noise in combination.noises where noise.stream != last.stream {
          let known = draws[Int(noise.stream) - 1]
          draw = zip(draw, known).map { $0 - noise.coefficient / last.coefficient * $1 }
        }
        draws.append(draw)
      }
    }
    return draws
  }
}

extension SchedulerCase {
  fileprivate var algorithm: Prediction {
    ["sde-dpmsolver", "noise_prediction"].contains(config.algorithmType) ? .epsilon : .sample
  }
  fileprivate var variant: DPMSolverMultistep.Variant { config.solverType == "heun" ? .heun : .midpoint }
}
