import RealModule
import Sampling
import Testing

/// The orders of a first-order and a second-order solver on every path, in every prediction.
@Suite("Empirical order on every path")
struct PathOrderTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let path: any NoisePath
  }

  static let paths: [Case] = {
    do {
      return [
        Case(testDescription: "sigmoid", path: try VariancePreserving(.sigmoid(start: 0.0001, end: 0.02))),
        Case(testDescription: "exp", path: try VariancePreserving(.exponential)),
        Case(testDescription: "laplace", path: try VariancePreserving(.laplace)),
        Case(
          testDescription: "zero terminal signal",
          path: try VariancePreserving(.scaledLinear(start: 0.00085, end: 0.012), terminalSignal: .zero)),
        Case(testDescription: "edm", path: VarianceExploding.edm),
        Case(
          testDescription: "variance exploding",
          path: try VarianceExploding(lowest: 0.01, highest: 50, conditioning: .noiseLevel)),
        Case(testDescription: "shifted flow", path: try RectifiedFlow(shift: 3)),
      ]
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  @Test(arguments: paths, [DDIM() as any Solver, Heun()])
  func gaussianAndMixture(_ example: Case, _ solver: any Solver) async throws {
    let expected = Double(try #require(solver.order))
    // The widest span of lambda that all of these paths have.
    func points(_ steps: Int) -> [TimePoint] {
      ExactProblem.points(example.path, steps: steps, from: -0.3, to: 2.8, isUneven: true)
    }
    for prediction in Prediction.allCases {
      let order = try await ExactProblem.order(of: solver, prediction: prediction, coarse: 96, points)
      print("\(solver.name) on \(example), \(prediction): measured \(order)")
      #expect(abs(order - expected) < 0.15)
    }
    let order = try await MixtureProblem.order(of: solver, prediction: .edm, coarse: 384, points)
    print("\(solver.name) on \(example), mixture: measured \(order)")
    #expect(abs(order - expected) < 0.15)
  }
}
