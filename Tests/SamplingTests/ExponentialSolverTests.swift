import RealModule
import Sampling
import Testing

@Suite("Options of the exponential solvers")
struct ExponentialSolverTests {
  static let path = VariancePreserving.stableDiffusion

  @Test func optionsAreChecked() {
    for order in [Int.min, 0, 5, Int.max] {
      #expect(throws: SamplingError.self) { try UniPC(order: order) }
      #expect(throws: SamplingError.self) { try DEIS(order: order) }
      #expect(throws: SamplingError.self) { try IPNDM(order: order) }
      #expect(throws: SamplingError.self) { try RESMultistep(order: order) }
      #expect(throws: SamplingError.self) { try RESSinglestep(order: order) }
    }
    for prediction in [Prediction.velocity, .flow] {
      #expect(throws: SamplingError.self) { try UniPC(prediction, order: 2) }
    }
    for gamma in [Double.nan, .infinity] {
      #expect(throws: SamplingError.self) { try GradientEstimation(gamma: gamma) }
    }
  }

  /// Every order, form and final option at few steps and many: all coefficients finite, one evaluation a step.
  @Test(arguments: [1, 2, 3, 4, 5, 14, 15, 50]) func everyOptionAtEveryCount(_ steps: Int) throws {
    var solvers: [any Solver] = []
    for prediction in [Prediction.sample, .epsilon] {
      for order in 1...4 {
        for form in [UniPC.Form.published(.bh1), .published(.bh2), .consistent] {
          for isLowered in [false, true] {
            solvers.append(
              try UniPC(prediction, order: order, form: form, uncorrected: [1], lowersFinalOrder: isLowered))
          }
        }
      }
      for order in 1...3 {
        for variant in DPMSolverMultistep.Variant.allCases {
          for thirdOrder in [DPMSolverMultistep.ThirdOrder.published, .consistent] {
            for (isLowered, isEuler) in [(false, false), (true, false), (false, true), (true, true)] {
              let solver = try DPMSolverMultistep(
                prediction, order: order, variant: variant, thirdOrder: thirdOrder, lowersFinalOrder: isLowered,
                eulerAtFinal: isEuler)
              solvers += [solver, try Corrected(solver)] as [any Solver]
            }
          }
        }
      }
    }
    for solver in solvers {
      let isNoise = solver.name.contains("epsilon") || solver.name.contains("dpm-solver")
      for end in isNoise ? [GridEnd.leastNoise] : [.clean, .leastNoise] {
        let plan = try SamplingPlan(solver, on: Self.path, grid: TrailingGrid(steps: steps, end: end))
        #expect(plan.evaluationCount == steps && plan.stepCount == steps, "\(solver.name)")
      }
      guard !isNoise else { continue }
      let flow = try SamplingPlan(solver, on: RectifiedFlow(), grid: TrailingGrid(steps: steps), prediction: .flow)
      #expect(flow.evaluationCount == steps, "\(solver.name)")
    }
  }

  /// UniPC is UniC after UniP, which goes by other names as well.
  @Test func theCorrectorFollowsAnySolver() throws {
    let points = try TrailingGrid(steps: 7).points(on: Self.path)
    func coefficients(_ solver: some Solver) throws -> [Double] {
      try SamplingPlan(solver, at: points).operations.flatMap { operation -> [Double] in
        switch operation {
        case .evaluate: []
        case .combine(let combination): combination.terms.map(\.coefficient)
        case .estimate(let estimate): estimate.terms.map(\.coefficient)
        }
      }
    }
    func expectEqual(_ left: [Double], _ right: [Double]) {
      #expect(left.count == right.count && zip(left, right).allSatisfy { abs($0 - $1) < 1e-14 })
    }
    for order in [2, 3] {
      try expectEqual(
        coefficients(UniPC(order: order, form: .consistent, lowersFinalOrder: false)),
        coefficients(Corrected(RESMultistep(order: order))))
    }
    try expectEqual(
      coefficients(UniPC(order: 2, form: .published(.bh2))),
      coefficients(Corrected(DPMSolverMultistep(.sample, order: 2), form: .published(.bh2))))
    // Where no step is corrected nothing is left of it.
    let base = try DPMSolverMultistep(.sample, order: 3)
    try expectEqual(coefficients(base), coefficients(Corrected(base, uncorrected: Set(0..<7))))
    #expect(throws: SamplingError.self) { try Corrected(Velocity()) }
  }

  /// A solver that remembers what has no corrector.
  struct Velocity: MultistepSolver {
    var name: String { "velocity" }
    var order: Int? { 1 }
    var prediction: Prediction { .velocity }
    var stepOrder: Int { 1 }
    func update(_ step: MultistepStep) -> PlanExpression { 1 * step.state }
  }
}
