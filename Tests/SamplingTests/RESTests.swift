import RealModule
import Sampling
import Testing

/// `make test ARGS='--filter RESTests'` prints the orders.
@Suite("Exponential Runge-Kutta methods")
struct RESTests {
  static let path = VariancePreserving.stableDiffusion

  static func staged(_ fractions: [Double]) -> (Int) -> [TimePoint] {
    { steps in
      let base = ExactProblem.points(path, steps: steps, from: -1.5, to: 2, isUneven: true)
      guard let grid = try? StageGrid(Given(given: base), fractions: fractions), let points = try? grid.points(on: path)
      else { preconditionFailure("the fractions rise from 0 to 1") }
      return points
    }
  }

  struct Given: Grid {
    let given: [TimePoint]
    func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] { given }
  }

  struct Case: Sendable {
    let order: Int
    let fractions: [Double]
    var endsInStage = false
  }

  /// c₂ and c₃ of several kinds; c = 1 where the step ends in a stage. γ is 0 at c₃ = 2/3.
  static let cases: [Case] = [
    Case(order: 2, fractions: [0.5]), Case(order: 2, fractions: [0.3]),
    Case(order: 2, fractions: [], endsInStage: true), Case(order: 3, fractions: [1.0 / 3, 2.0 / 3]),
    Case(order: 3, fractions: [0.4, 0.9]), Case(order: 3, fractions: [0.5], endsInStage: true),
    Case(order: 3, fractions: [0.25], endsInStage: true),
  ]

  @Test(arguments: cases) func rungeKuttaOrders(_ example: Case) async throws {
    let (order, fractions, endsInStage) = (example.order, example.fractions, example.endsInStage)
    let solver = try RESSinglestep(order: order, endsInStage: endsInStage)
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      let measured = try await ExactProblem.order(
        of: solver, prediction: prediction, coarse: 96, Self.staged(fractions))
      print("\(solver.name) at \(fractions), \(prediction): order \(measured)")
      #expect(abs(measured - Double(order)) < 0.15)
    }
    let measured = try await MixtureProblem.order(
      of: solver, prediction: .epsilon, coarse: 256, Self.staged(fractions))
    print("\(solver.name) at \(fractions), mixture: order \(measured)")
    #expect(abs(measured - Double(order)) < 0.15)
  }

  /// Where the prediction is linear in lambda, the state's part in it none, every step is exact however long:
  /// Σ bᵢ cᵢ = φ₂, which DPM-Solver++'s midpoint form does not have.
  @Test(arguments: cases) func linearPredictionsAreIntegratedExactly(_ example: Case) async throws {
    let solver = try RESSinglestep(order: example.order, endsInStage: example.endsInStage)
    let points = Self.staged(example.fractions)(4)
    func error(of solver: any Solver) async throws -> Double {
      let plan = try SamplingPlan(solver, at: points, prediction: .sample)
      let result: DoubleTensor = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: [1], start: .states([DoubleTensor([0.7])])
      ) { requests in requests.map { DoubleTensor([2 - 3 * $0.time.lambda]) } }[0]
      // x / sigma grows by ∫ e^λ (2 - 3 λ) dλ.
      let (s, t) = (points[0], points[points.count - 1])
      let integral = [t, s].map { Double.exp($0.lambda) * (5 - 3 * $0.lambda) }
      return abs(result.values[0] / (t.sigma * (0.7 / s.sigma + integral[0] - integral[1])) - 1)
    }
    #expect(try await error(of: solver) < 1e-13)
    let midpoint = try DPMSolverSinglestep(.sample, order: 2)
    #expect(try await error(of: midpoint) > 1e-3)
  }

  @Test(arguments: 1...9) func rungeKuttaStepsOfEveryCount(_ steps: Int) throws {
    for (order, endsInStage) in [(2, false), (3, false), (2, true), (3, true)] {
      let solver = try RESSinglestep(order: order, endsInStage: endsInStage)
      for end in [GridEnd.clean, .leastNoise] {
        let plan = try SamplingPlan(solver, on: Self.path, grid: TrailingGrid(steps: steps, end: end))
        // Every step of k intervals costs k evaluations, or one more where it ends in a stage.
        let spanned = steps - (end == .clean ? 1 : 0)
        let span = order - 1
        let extra = endsInStage ? (spanned + span - 1) / span : 0
        #expect(plan.evaluationCount == steps + extra, "\(solver.name), \(steps), \(end)")
      }
      let flow = try SamplingPlan(
        solver, on: RectifiedFlow(), grid: TrailingGrid(steps: steps), prediction: .flow)
      #expect(flow.stepCount == steps)
    }
  }

  @Test func stagesLieInside() throws {
    for fractions in [[0.0], [1], [0.5, 0.5], [0.6, 0.3], [.nan], [-0.1]] {
      #expect(throws: SamplingError.self) { try StageGrid(TrailingGrid(steps: 3), fractions: fractions) }
    }
    let points = try StageGrid(TrailingGrid(steps: 3), fractions: [0.25]).points(on: Self.path)
    // The last step, to sigma 0, stays whole.
    #expect(points.count == 6 && points[5].isClean)
    for start in [0, 2] {
      let lambdas = points[start...(start + 2)].map(\.lambda)
      #expect(abs((lambdas[1] - lambdas[0]) / (lambdas[2] - lambdas[0]) - 0.25) < 1e-12)
    }
    #expect(try StageGrid(TrailingGrid(steps: 2), fractions: [0.5]).points(on: RectifiedFlow()).count == 3)
  }

  /// There is no third order with c₂ = 2/3, and next to it the weights grow without bound: a step there is of
  /// second order, and what follows of third where it comes to lie better.
  @Test(arguments: [0.6 + 1e-9, 2.0 / 3, 0.9]) func lateStagesKeepTheirWeightsSmall(_ c2: Double) async throws {
    for endsInStage in [false, true] {
      let solver = try RESSinglestep(order: 3, endsInStage: endsInStage)
      let points = Self.staged(endsInStage ? [c2] : [c2, (1 + c2) / 2])
      for case .combine(let combination) in try SamplingPlan(solver, at: points(6)).operations {
        #expect(combination.terms.allSatisfy { abs($0.coefficient) < 10 })
      }
      let measured = try await MixtureProblem.order(of: solver, prediction: .epsilon, coarse: 256, points)
      print("\(solver.name) at \(c2): order \(measured)")
      #expect(measured > 1.85)
    }
  }
}
