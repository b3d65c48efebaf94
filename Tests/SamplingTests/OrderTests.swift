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
    var testDescription: String { "\(solver.name) order \(order)\(isUneven ? ", uneven" : "")" }
  }

  static let diffusion: [Case] = {
    do {
      return [
        Case(solver: DDIM(), order: 1, isUneven: true),
        Case(solver: Euler(), order: 1, isUneven: true),
        Case(solver: Heun(), order: 2, isUneven: true),
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

  static let flow: [Case] = [
    Case(solver: FlowEuler(), order: 1),
    // With d(s) the variance of the state, x is proportional to √d and d is quadratic in s, for which the h² terms of
    // the midpoint method cancel: x‴/24 + (x′/x) x″/8 = 0. On the mixture below it has its order, 2.
    Case(solver: FlowMidpoint(), order: 3),
    Case(solver: FlowHeun(), order: 2),
  ]

  @Test("on the straight path", arguments: flow)
  func rectifiedFlow(_ example: Case) async throws {
    let path = try RectifiedFlow()
    for prediction in [Prediction.flow, .epsilon, .sample] {
      let order = try await ExactProblem.order(of: example.solver, prediction: prediction, coarse: 96) { steps in
        (0...steps).map { path.point(sigma: 0.95 - 0.9 * Double($0) / Double(steps)) }
      }
      print("\(example.testDescription), \(prediction): measured \(order)")
      #expect(abs(order - example.order) < 0.15)
    }
  }

  @Test("on a mixture along the straight path", arguments: flow)
  func mixtureOnStraightPath(_ example: Case) async throws {
    let path = try RectifiedFlow()
    let order = try await MixtureProblem.order(of: example.solver, prediction: .flow, coarse: 200) { steps in
      (0...steps).map { path.point(sigma: 0.95 - 0.9 * Double($0) / Double(steps)) }
    }
    let claimed = try #require(example.solver.order)
    #expect(abs(order - Double(claimed)) < 0.15)
  }

  @Test("on a mixture along the variance-preserving path", arguments: diffusion)
  func mixtureOnVariancePreservingPath(_ example: Case) async throws {
    let order = try await MixtureProblem.order(of: example.solver, prediction: .epsilon, coarse: 384) {
      ExactProblem.points(.stableDiffusion, steps: $0, from: -2.5, to: 3, isUneven: example.isUneven)
    }
    #expect(abs(order - example.order) < 0.15)
  }
}
