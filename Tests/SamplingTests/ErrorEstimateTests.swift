import RealModule
import Sampling
import Testing

@Suite("Error estimates for free")
struct ErrorEstimateTests {
  static let path = VariancePreserving.stableDiffusion

  /// A step's estimate over the distance of its end from the exact trajectory through its start.
  @Test("tend to the local error", arguments: [TrajectoryProblem.all[0], TrajectoryProblem.all[2]])
  func ratioToTheLocalError(_ problem: TrajectoryProblem) async throws {
    let solvers: [any Solver] = [
      try DPMSolverMultistep(.sample, order: 1), try DPMSolverMultistep(.sample, order: 2),
      try DPMSolverMultistep(.epsilon, order: 2), try DEIS(order: 2), try IPNDM(order: 2, spacing: .uneven),
    ]
    for solver in solvers {
      var deviations: [Double] = []
      for steps in [20, 80, 320] {
        let points = ExactProblem.points(Self.path, steps: steps, from: -2, to: 3)
        var states: [DoubleTensor] = []
        let result = try await SamplingPlan(solver, at: points).sample(
          fields: [NoiseField(seed: 3)], shape: problem.shape, observe: { states.append($0.states[0]) }
        ) { requests in requests.map { problem.predict(.epsilon, $0.state, $0.time) } }[0]
        #expect(result.stepErrors.count == steps - 1)
        // At a quarter, a half and three quarters of the way.
        var worst = 0.0
        for step in [steps / 4, steps / 2, 3 * steps / 4] {
          let exact = try await problem.solve(states[step - 1], points[step], points[step + 1], Self.path)
          let truth = DoubleTensor.combining((1, exact), (-1, states[step])).rootMeanSquare()
          let estimate = try #require(result.stepErrors.first { $0.step == step + 1 })
          worst = max(worst, abs(estimate.error / truth - 1))
        }
        deviations.append(worst)
      }
      print(
        "\(problem.testDescription), \(solver.name): estimate over truth off 1 by \(deviations) in 20, 80, 320 steps")
      #expect(deviations[2] < 0.05 && deviations[1] < deviations[0] && deviations[2] < deviations[1] / 2)
    }
  }

  /// Heun's step has gone Euler's on its way.
  @Test func heunKnowsEulersError() async throws {
    let points = ExactProblem.points(Self.path, steps: 3, from: -1, to: 1) + [Self.path.clean]
    let problem = TrajectoryProblem.all[2]
    func sample(_ solver: some Solver, at points: [TimePoint]) async throws -> SamplingResult<DoubleTensor> {
      try await SamplingPlan(solver, at: points).sample(fields: [NoiseField(seed: 3)], shape: problem.shape) {
        $0.map { problem.predict(.epsilon, $0.state, $0.time) }
      }[0]
    }
    let heun = try await sample(Heun(), at: points)
    #expect(heun.stepErrors.map(\.step) == [1, 2, 3] && heun.evaluations == 7)
    let first = Array(points.prefix(2))
    let (kept, lower) = (try await sample(Heun(), at: first), try await sample(Euler(), at: first))
    let distance = DoubleTensor.combining((1, kept.state), (-1, lower.state)).rootMeanSquare()
    #expect(abs(heun.stepErrors[0].error / distance - 1) < 1e-12 && lower.stepErrors.isEmpty)
  }

  /// Two overlapping clusters in 16 dimensions, of random means.
  static func mixture(seed: UInt64) -> GaussianMixtureData {
    let means = (0..<2).map {
      DoubleTensor(noise: NoiseField(seed: seed, image: $0), shape: [16]).values.map { 0.5 * $0 }
    }
    return GaussianMixtureData([
      .init(weight: 0.4, mean: means[0], variance: 0.3), .init(weight: 0.6, mean: means[1], variance: 0.15),
    ])
  }

  static func spearman(_ a: [Double], _ b: [Double]) -> Double {
    func ranks(_ values: [Double]) -> [Double] {
      var ranks = Array(repeating: 0.0, count: values.count)
      for (rank, index) in values.indices.sorted(by: { values[$0] < values[$1] }).enumerated() {
        ranks[index] = Double(rank)
      }
      return ranks
    }
    let n = Double(a.count)
    let squares = zip(ranks(a), ranks(b)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return 1 - 6 * squares / (n * (n * n - 1))
  }

  struct Ranking: Sendable, CustomTestStringConvertible {
    let solver: any Solver
    let spacing: GridSpacing
    /// Whether it is to be 0.8 or more. The others are printed: they show the limits of the estimate.
    var isGood = true
    var testDescription: String { "\(solver.name), \(spacing)" }

    func points(_ steps: Int) throws -> [TimePoint] {
      let grid: any Grid =
        spacing == .karras ? KarrasGrid(steps: steps) : LinspaceGrid(steps: steps, rounds: false)
      return try grid.points(on: ErrorEstimateTests.path)
    }
  }

  /// On Karras' grid the errors of many steps have to be carried through the data's flow, which the estimate knows for
  /// data of one variance alone. What ranks poorly there, 2M at 10 steps and all of third order, ranks from 0.97 where
  /// each error is carried by the true Jacobian of its step. Over twenty mixtures and not these few, 2M ranks from 0.77
  /// there, UniPC-2 from 0.69 as published and 0.74 as consistent, and published 3M from 0.40; RES-2M from 0.88.
  /// On linspace consistent 3M ranks from 0.63 over them, the others from 0.95.
  static let rankings: [Ranking] = {
    do {
      let multistep: [any Solver] = [
        try DPMSolverMultistep(.sample, order: 2), try DPMSolverMultistep(.sample, order: 3),
        try DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent), try RESMultistep(order: 2),
        try UniPC(order: 2), try UniPC(order: 3), try UniPC(order: 2, form: .consistent),
      ]
      return multistep.map { Ranking(solver: $0, spacing: .linspace) } + [
        Ranking(solver: try RESMultistep(order: 2), spacing: .karras),
        Ranking(solver: try UniPC(order: 2, form: .consistent), spacing: .karras),
        Ranking(solver: try IPNDM(order: 4), spacing: .karras),
        // 0.83 to 0.98 here, which is no margin.
        Ranking(solver: try DPMSolverMultistep(.sample, order: 2), spacing: .karras, isGood: false),
        // 0.77 to 0.96 here.
        Ranking(solver: try UniPC(order: 2), spacing: .karras, isGood: false),
        // 0.85 and more at 10 steps, 0.55 to 0.87 at 15 and 20.
        Ranking(solver: try DPMSolverMultistep(.sample, order: 3), spacing: .karras, isGood: false),
        // 0.3 to 0.6 at 10 steps: nearly all of the error is made in the step to sigma 0. The difference of that step
        // to Euler's, taken for its error, makes it worse: 0.56 in place of 0.59 in the median of twenty mixtures.
        Ranking(solver: try IPNDM(order: 4), spacing: .linspace, isGood: false),
      ]
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  @Test("rank images by their error", arguments: [nil, 1, 2, 3, 4, 5] as [UInt64?])
  func ranking(_ seed: UInt64?) async throws {
    let data = seed.map(Self.mixture(seed:)) ?? MixtureProblem.data
    let shape: Shape = [data.components[0].mean.count]
    let fields = (0..<192).map { NoiseField(seed: 7, image: $0) }
    func denoise(_ requests: [DenoiserRequest<DoubleTensor>]) -> [DoubleTensor] {
      requests.map { data.prediction(.epsilon, of: $0.state, at: $0.time) }
    }
    let points = try UniformLambdaGrid(steps: 800).points(on: Self.path) + [Self.path.clean]
    let exact = try await SamplingPlan(DPMSolverSinglestep(.sample, order: 3), at: points).run(
      fields: fields, shape: shape, denoise: denoise)
    for example in Self.rankings {
      for steps in [10, 15, 20] {
        let plan = try SamplingPlan(example.solver, at: example.points(steps))
        let results = try await plan.sample(fields: fields, shape: shape, denoise: denoise)
        let errors = zip(results, exact).map { DoubleTensor.combining((1, $0.state), (-1, $1)).rootMeanSquare() }
        let correlation = Self.spearman(try results.map { try #require($0.errorEstimate) }, errors)
        print("\(example.testDescription), \(shape[0])-D, \(steps) evaluations: Spearman \(correlation)")
        #expect(correlation >= 0.8 || !example.isGood)
      }
    }
  }
}
