import RealModule
import Sampling
import Testing

/// `make test ARGS='--filter OrderTests'` prints the orders.
@Suite("Empirical order on the exact Gaussian")
struct OrderTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let solver: any Solver
    let order: Double
    var isUneven = false
    /// Times as many steps as others: fewer where a high order would meet rounding, more where it comes late.
    var stepScale = 1.0
    var testDescription: String { "\(solver.name) order \(order)\(isUneven ? ", uneven" : "")" }
  }

  static let diffusion: [Case] = {
    do {
      return [
        Case(solver: DDIM(), order: 1, isUneven: true),
        Case(solver: Euler(), order: 1, isUneven: true),
        Case(solver: Heun(), order: 2, isUneven: true),
        Case(solver: DPM2(), order: 2),
      ]
        + (try [Prediction.sample, .epsilon].flatMap { prediction in
          try [
            Case(solver: DPMSolverMultistep(prediction, order: 1), order: 1, isUneven: true),
            Case(solver: DPMSolverMultistep(prediction, order: 2), order: 2, isUneven: true),
            Case(solver: DPMSolverMultistep(prediction, order: 2, variant: .heun), order: 2, isUneven: true),
            // The published weight of the second derivative is half of what order 3 needs.
            Case(solver: DPMSolverMultistep(prediction, order: 3, thirdOrder: .published), order: 2),
            Case(solver: DPMSolverMultistep(prediction, order: 3, thirdOrder: .consistent), order: 3, isUneven: true),
            Case(solver: DPMSolverSinglestep(prediction, order: 1), order: 1, isUneven: true),
            Case(solver: DPMSolverSinglestep(prediction, order: 2), order: 2, isUneven: true),
            Case(solver: DPMSolverSinglestep(prediction, order: 2, variant: .heun), order: 2, isUneven: true),
            // The midpoint form has order 3 where the stages lie at one and two thirds.
            Case(solver: DPMSolverSinglestep(prediction, order: 3), order: 3),
            Case(solver: DPMSolverSinglestep(prediction, order: 3, variant: .heun), order: 3, isUneven: true),
          ]
        })
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  @Test("on the variance-preserving path", arguments: diffusion)
  func variancePreserving(_ example: Case) async throws {
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      let order = try await ExactProblem.order(of: example.solver, prediction: prediction, coarse: 96) {
        ExactProblem.points(.stableDiffusion, steps: $0, from: -2.5, to: 3, isUneven: example.isUneven)
      }
      print("\(example.testDescription), \(prediction): measured \(order)")
      #expect(abs(order - example.order) < 0.15)
    }
  }

  static let adamsBashforth: [Case] = [2, 3, 4].compactMap { order in
    (try? FlowAdamsBashforth(order: order)).map {
      Case(solver: $0, order: Double(order), isUneven: true, stepScale: order == 4 ? 2 : 1)
    }
  }

  static let flow: [Case] =
    adamsBashforth + [
      Case(solver: FlowRungeKutta(.euler), order: 1),
      // With d(s) the variance of the state, x is proportional to √d and d is quadratic in s, for which the h² terms of
      // the midpoint method cancel: x‴/24 + (x′/x) x″/8 = 0. On the mixture below it has its order, 2.
      Case(solver: FlowRungeKutta(.midpoint), order: 3),
      Case(solver: FlowRungeKutta(.heun), order: 2),
      Case(solver: FlowRungeKutta(.ralston3), order: 3),
      Case(solver: FlowRungeKutta(.rungeKutta4), order: 4, stepScale: 0.25),
    ]

  static func straightPoints(steps: Int, isUneven: Bool) -> [TimePoint] {
    (0...steps).map { index in
      let uniform = Double(index) / Double(steps)
      let sigma = 0.95 - 0.9 * (isUneven ? uniform * (0.5 + 0.5 * uniform) : uniform)
      return TimePoint(timestep: 1000 * sigma, alpha: 1 - sigma, sigma: sigma)
    }
  }

  @Test("on the straight path", arguments: flow)
  func rectifiedFlow(_ example: Case) async throws {
    for prediction in [Prediction.flow, .epsilon, .sample] {
      let order = try await ExactProblem.order(
        of: example.solver, prediction: prediction, coarse: Int(96 * example.stepScale)
      ) { Self.straightPoints(steps: $0, isUneven: example.isUneven) }
      print("\(example.testDescription), \(prediction): measured \(order)")
      #expect(abs(order - example.order) < 0.15)
    }
  }

  @Test("on a mixture along the straight path", arguments: flow)
  func mixtureOnStraightPath(_ example: Case) async throws {
    let claimed = Double(try #require(example.solver.order))
    let order = try await MixtureProblem.order(
      of: example.solver, prediction: .flow, coarse: Int(200 * example.stepScale)
    ) { Self.straightPoints(steps: $0, isUneven: example.isUneven) }
    print("\(example.testDescription), mixture: measured \(order)")
    #expect(abs(order - claimed) < 0.15)
  }

  @Test("on a mixture along the variance-preserving path", arguments: diffusion)
  func mixtureOnVariancePreservingPath(_ example: Case) async throws {
    let order = try await MixtureProblem.order(of: example.solver, prediction: .epsilon, coarse: 384) {
      ExactProblem.points(.stableDiffusion, steps: $0, from: -2.5, to: 3, isUneven: example.isUneven)
    }
    #expect(abs(order - example.order) < 0.15)
  }
}
