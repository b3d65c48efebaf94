import Sampling
import Testing

@Suite("Limits of stochastic solvers")
struct StochasticLimitTests {
  @Test func withoutNoiseTheyAreTheDeterministicSolvers() throws {
    let points = StochasticOrderTests.points(9)
    for prediction in [Prediction.sample, .epsilon] {
      for order in 1...3 {
        let noisy = try SamplingPlan(
          DPMSolverSDEMultistep(prediction, order: order, thirdOrder: .consistent, eta: 0), at: points)
        let plain = try SamplingPlan(
          DPMSolverMultistep(prediction, order: order, thirdOrder: .consistent), at: points)
        #expect(noisy.operations == plain.operations, "\(prediction), \(order)")
      }
    }
  }
}
