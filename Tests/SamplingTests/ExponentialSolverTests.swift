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
}
