import RealModule
import Sampling
import Testing

/// The error estimates that multistep solvers have for nothing: where they are, and what they are made of.
@Suite("Error estimates of multistep solvers")
struct MultistepEstimateTests {
  static let path = VariancePreserving.stableDiffusion

  static func sample(_ solver: some Solver, at points: [TimePoint]) async throws -> SamplingResult<DoubleTensor> {
    try await SamplingPlan(solver, at: points, prediction: .sample).sample(
      fields: [NoiseField(seed: 0)], shape: [2], start: .unitVariance([DoubleTensor([0.4, 0.7])])
    ) { requests in
      requests.map { MixtureProblem.data.prediction(.sample, of: $0.state, at: $0.time) }
    }[0]
  }

  /// Every step has one but the last, at whose end the model is not evaluated, and one from nothing but noise.
  @Test func whereTheyAre() async throws {
    let points = try TrailingGrid(steps: 6).points(on: Self.path)
    let solvers: [any Solver] = [
      try DPMSolverMultistep(.sample, order: 1), try DPMSolverMultistep(.sample, order: 2),
      try DPMSolverMultistep(.sample, order: 3), try DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent),
      try RESMultistep(order: 3), try UniPC(order: 1), try UniPC(order: 3),
      try UniPC(order: 3, uncorrected: [0, 2]), try UniPC(order: 3, corrects: false),
      try Corrected(RESMultistep(order: 2)), try IPNDM(order: 4), GradientEstimation(),
    ]
    let noise = try TrailingGrid(steps: 6).points(on: RectifiedFlow())
    for solver in solvers {
      for (points, steps) in [(points, [1, 2, 3, 4, 5]), (noise, [2, 3, 4, 5])] {
        let result = try await Self.sample(solver, at: points)
        #expect(result.stepErrors.map(\.step) == steps, "\(solver.name)")
        #expect(result.stepErrors.allSatisfy { $0.error > 0 && $0.error.isFinite }, "\(solver.name)")
        #expect(result.evaluations == 6, "\(solver.name)")
      }
    }
  }

  /// A plan can do without them: the same image, to rounding, in fewer operations.
  @Test func theyCanBeLeftOut() async throws {
    var estimating = 0
    for entry in SolverCatalogue.all where !(try entry.make(7).isInversion) {
      let isFlow = entry.family == .flow
      let path: any NoisePath = isFlow ? try RectifiedFlow() : Self.path
      let points = try GridSpacing.trailing.points(steps: 7, for: entry.conventions, on: path)
      var results: [SamplingResult<DoubleTensor>] = []
      var operations: [Int] = []
      for estimates in [true, false] {
        let plan = try SamplingPlan(
          entry.make(7), at: points, on: path, prediction: isFlow ? .flow : .epsilon, estimatesErrors: estimates)
        operations.append(plan.operations.count)
        results += try await plan.sample(fields: [NoiseField(seed: 5)], shape: [2]) { requests in
          requests.map { MixtureProblem.data.prediction(plan.prediction, of: $0.state, at: $0.time) }
        }
      }
      #expect(results[1].stepErrors.isEmpty && results[1].errorEstimate == nil, "\(entry.name)")
      #expect(results[1].state.relativeError(to: results[0].state) < 1e-11, "\(entry.name)")
      #expect(results[1].evaluations == results[0].evaluations)
      let hasEstimates = !results[0].stepErrors.isEmpty
      #expect((operations[1] < operations[0]) == hasEstimates, "\(entry.name)")
      estimating += hasEstimates ? 1 : 0
    }
    #expect(estimating > 20)
  }

  /// That of the first step is the distance that UniC would have moved its end by: the two runs part only then.
  @Test func theyAreTheDistanceToTheCorrectedStep() async throws {
    let points = ExactProblem.points(Self.path, steps: 2, from: -1, to: 1)
    func check(_ solver: some MultistepSolver) async throws {
      let plain = try await Self.sample(solver, at: points)
      let corrected = try await Self.sample(try Corrected(solver), at: points)
      let (estimate, distance) = (try #require(plain.stepErrors.first), try #require(corrected.stepErrors.first))
      #expect(estimate.step == 1 && abs(estimate.error / distance.error - 1) < 1e-12, "\(solver.name)")
    }
    try await check(DPMSolverMultistep(.sample, order: 2))
    try await check(DPMSolverMultistep(.epsilon, order: 3, thirdOrder: .consistent))
    try await check(DEIS(order: 2))
    try await check(RESMultistep(order: 3))
    try await check(IPNDM(order: 4))
  }

  /// UniC's is the distance from the state that UniP predicts, and of the predictor's local error's order: a step half
  /// as long has one 2^(p + 1) times smaller.
  @Test(arguments: [1, 2, 3]) func theyFallWithTheStep(_ order: Int) async throws {
    for form in [UniPC.Form.published(.bh2), .consistent] {
      var largest: [Double] = []
      for steps in [128, 256] {
        let points = ExponentialOrderTests.graded(steps)
        let result = try await Self.sample(UniPC(order: order, form: form, lowersFinalOrder: false), at: points)
        // Away from the start, where orders rise, at the same place on both grids.
        largest.append(result.stepErrors[steps / 2].error)
      }
      let measured = Double.log(largest[0] / largest[1]) / Double.log(2)
      print("UniPC \(order), \(form): the estimate falls with order \(measured), \(order + 1) in theory")
      #expect(abs(measured - Double(order + 1)) < 0.15)
    }
  }
}
