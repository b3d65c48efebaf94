import RealModule
import Sampling
import Testing

/// `make test ARGS='--filter ExponentialOrderTests'` prints the orders.
@Suite("Empirical order of the exponential multistep solvers")
struct ExponentialOrderTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let solver: any Solver
    /// On grids whose first step is as short as the square of a step: the order of the formula.
    let graded: Double
    /// On even grids: limited by the first step.
    let even: Double
    var testDescription: String { solver.name }
  }

  static let cases: [Case] = {
    do {
      var cases: [Case] = []
      for prediction in [Prediction.sample, .epsilon] {
        for order in 1...4 {
          // Beyond order 2 the two B(h) differ in the first steps alone.
          for form in [UniPC.Form.published(.bh1), .published(.bh2), .consistent]
          where order <= 2 || form != .published(.bh1) {
            cases.append(
              Case(
                solver: try UniPC(prediction, order: order, form: form, lowersFinalOrder: false),
                graded: Double(order + 1), even: Double(min(order + 1, 3))))
          }
          let predictor = try UniPC(
            prediction, order: order, form: .consistent, corrects: false, lowersFinalOrder: false)
          cases.append(Case(solver: predictor, graded: Double(order), even: Double(min(order, 3))))
        }
        cases.append(
          Case(solver: try Corrected(DPMSolverMultistep(prediction, order: 2)), graded: 3, even: 3))
      }
      for order in 1...4 {
        cases.append(Case(solver: try DEIS(order: order), graded: Double(order), even: Double(min(order, 2))))
        cases.append(
          Case(
            solver: try IPNDM(order: order, spacing: .uneven), graded: Double(order), even: Double(min(order, 2))))
      }
      cases.append(Case(solver: try DEIS(order: 3, retakesSecondStep: true), graded: 3, even: 3))
      cases.append(Case(solver: try Corrected(DEIS(order: 3)), graded: 4, even: 3))
      cases.append(Case(solver: try Corrected(IPNDM(order: 2, spacing: .uneven)), graded: 3, even: 3))
      cases.append(Case(solver: try RESMultistep(order: 2), graded: 2, even: 2))
      cases.append(Case(solver: try RESMultistep(order: 3), graded: 3, even: 3))
      return cases
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  static func graded(_ steps: Int, from: Double = -0.8, to: Double = 1) -> [TimePoint] {
    (0...steps).map { index in
      let uniform = Double(index) / Double(steps)
      return VariancePreserving.stableDiffusion.point(lambda: from + (to - from) * uniform * uniform)
    }
  }

  static func even(_ steps: Int) -> [TimePoint] {
    ExactProblem.points(.stableDiffusion, steps: steps, from: -0.8, to: 1)
  }

  /// The order of the first step's error shows where that of the others has become small beside it.
  static func evenSteps(_ example: Case) -> Int { example.even < example.graded ? 1536 : 256 }

  @Test("on the Gaussian", arguments: cases) func gaussian(_ example: Case) async throws {
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      let order = try await ExactProblem.order(
        of: example.solver, prediction: prediction, coarse: 128
      ) { Self.graded($0) }
      print("\(example.solver.name), \(prediction): order \(order), \(example.graded) in theory")
      #expect(abs(order - example.graded) < 0.15)
    }
    let order = try await ExactProblem.order(
      of: example.solver, prediction: .epsilon, coarse: Self.evenSteps(example), Self.even)
    print("\(example.solver.name), even steps: order \(order), \(example.even) in theory")
    #expect(abs(order - example.even) < 0.15)
  }

  @Test("on a mixture", arguments: cases) func mixture(_ example: Case) async throws {
    // At order 5 the rounding shows unless the way is longer.
    let isHigh = example.graded > 4
    let graded = try await MixtureProblem.order(
      of: example.solver, prediction: .epsilon, coarse: isHigh ? 384 : 256
    ) { isHigh ? Self.graded($0, from: -2, to: 2) : Self.graded($0) }
    print("\(example.solver.name), mixture: order \(graded), \(example.graded) in theory")
    #expect(abs(graded - example.graded) < 0.15)
    let even = try await MixtureProblem.order(
      of: example.solver, prediction: .epsilon, coarse: Self.evenSteps(example), Self.even)
    print("\(example.solver.name), mixture, even steps: order \(even), \(example.even) in theory")
    #expect(abs(even - example.even) < 0.15)
  }
}
