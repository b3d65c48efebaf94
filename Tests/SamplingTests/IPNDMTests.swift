import RealModule
import Sampling
import Testing

/// `make test ARGS='--filter IPNDMTests'` prints the orders.
@Suite("iPNDM and gradient estimation")
struct IPNDMTests {
  /// Equal steps in sigma / alpha.
  static func evenNoise(_ steps: Int) -> [TimePoint] {
    (0...steps).map { VariancePreserving.stableDiffusion.point(lambda: -.log(2 - 1.6 * Double($0) / Double(steps))) }
  }

  /// Steps that are long and short in turn, however many there are.
  static func alternating(_ steps: Int) -> [TimePoint] {
    (0...steps).map { index in
      let part = Double(index) + (index.isMultiple(of: 2) ? 0 : 0.3)
      return VariancePreserving.stableDiffusion.point(lambda: -0.8 + 1.8 * part / Double(steps))
    }
  }

  /// The classic weights have order 2 where neighbouring steps become alike, 1 where they do not; gradient estimation
  /// has order 1 everywhere.
  @Test func noiseLevelOrders() async throws {
    let cases: [(any Solver, Double, (Int) -> [TimePoint])] = [
      (try IPNDM(order: 1), 1, Self.evenNoise), (try IPNDM(order: 2), 2, Self.evenNoise),
      (try IPNDM(order: 2), 2, ExponentialOrderTests.even), (try IPNDM(order: 4), 2, ExponentialOrderTests.even),
      (try IPNDM(order: 2), 1, Self.alternating), (try IPNDM(order: 2, spacing: .uneven), 2, Self.alternating),
      (GradientEstimation(), 1, Self.evenNoise), (GradientEstimation(), 1, ExponentialOrderTests.even),
      // Half of gamma - 1 is what Adams and Bashforth have.
      (try GradientEstimation(gamma: 1.5), 2, Self.evenNoise),
    ]
    for (solver, order, points) in cases {
      let measured = [
        try await ExactProblem.order(of: solver, prediction: .velocity, coarse: 256, points),
        try await MixtureProblem.order(of: solver, prediction: .epsilon, coarse: 512, points),
      ]
      print("\(solver.name): orders \(measured), \(order) in theory")
      for value in measured { #expect(abs(value - order) < 0.15, "\(solver.name)") }
    }
  }

  /// On equal steps both kinds of weights are the same, from the first step on.
  @Test func unevenWeightsAreTheEvenOnesOnEqualSteps() throws {
    for order in 1...4 {
      let plans = try IPNDM.Spacing.allCases.map { spacing in
        try SamplingPlan(IPNDM(order: order, spacing: spacing), at: Self.evenNoise(9)).operations
      }
      for (left, right) in zip(plans[0], plans[1]) {
        guard case .combine(let left) = left, case .combine(let right) = right else { continue }
        for (a, b) in zip(left.terms, right.terms) { #expect(abs(a.coefficient - b.coefficient) < 1e-12) }
      }
    }
  }
}
