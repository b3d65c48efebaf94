import Sampling
import Testing

@Suite("Limits of stochastic solvers")
struct StochasticLimitTests {
  @Test func withoutNoiseTheyAreTheDeterministicSolvers() async throws {
    let points = StochasticOrderTests.points(9)
    for prediction in [Prediction.sample, .epsilon] {
      for order in 1...3 {
        let noisy = try SamplingPlan(
          DPMSolverSDEMultistep(prediction, order: order, thirdOrder: .consistent, eta: 0), at: points)
        let plain = try SamplingPlan(
          DPMSolverMultistep(prediction, order: order, thirdOrder: .consistent), at: points)
        #expect(!noisy.isStochastic && noisy.evaluationCount == plain.evaluationCount)
        let images = try await [noisy, plain].asyncMap {
          try await $0.solve(ExactProblem.data, from: [ExactProblem.start])[0].state
        }
        #expect(images[0].relativeError(to: images[1]) < 1e-13, "\(prediction), \(order)")
      }
    }
  }
}
