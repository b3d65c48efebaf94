import RealModule
import Sampling
import Testing

/// The error estimates that multistep solvers have for nothing: where they are, and what they are made of.
@Suite("Error estimates of multistep solvers")
struct MultistepEstimateTests {
  static let path = VariancePreserving.stableDiffusion

  static func sample(_ solver: some Solver, at points: [TimePoint]) async throws -> SamplingResult<DoubleTensor> {
    try await SamplingPlan(solver, at: points, prediction: .sample).sample(
      fields: [NoiseField(seed: 0)], shape: [2], start: .unitVariance([DoubleTensor([0.4, 0.7])])
    ) { requests in
      requests.map { MixtureProblem.data.prediction(.sample, of: $0.state, at: $0.time) }
    }[0]
  }

  /// Every step has one, but those of first order: there is no order below.
  @Test func whereTheyAre() async throws {
    let points = try TrailingGrid(steps: 6).points(on: Self.path)
    let cases: [(any Solver, [Int])] = [
      (try DPMSolverMultistep(.sample, order: 1), []), (try DPMSolverMultistep(.sample, order: 2), [2, 3, 4, 5]),
      (try DPMSolverMultistep(.sample, order: 3), [2, 3, 4, 5]), (try RESMultistep(order: 3), [2, 3, 4, 5]),
      // UniC follows the first order as well, and not the last step.
      (try UniPC(order: 1), [1, 2, 3, 4, 5]), (try UniPC(order: 3), [1, 2, 3, 4, 5]),
      (try UniPC(order: 3, uncorrected: [0, 2]), [2, 3, 4, 5]),
      (try UniPC(order: 3, corrects: false), [2, 3, 4, 5]), (try Corrected(RESMultistep(order: 2)), [1, 2, 3, 4, 5]),
      (try IPNDM(order: 4), [2, 3, 4, 5, 6]), (GradientEstimation(), []),
    ]
    for (solver, steps) in cases {
      let result = try await Self.sample(solver, at: points)
      #expect(result.stepErrors.map(\.step) == steps, "\(solver.name)")
      #expect(result.stepErrors.allSatisfy { $0.error > 0 && $0.error.isFinite }, "\(solver.name)")
      #expect(result.evaluations == 6, "\(solver.name)")
    }
  }

  /// That of step 2 is the distance from where the order below would have gone. Step 1 is the same for both.
  @Test func theyAreTheDistanceToTheOrderBelow() async throws {
    let points = ExactProblem.points(Self.path, steps: 2, from: -1, to: 1)
    let pairs: [(any Solver, any Solver)] = [
      (try DPMSolverMultistep(.sample, order: 2), try DPMSolverMultistep(.sample, order: 1)),
      (try DPMSolverMultistep(.epsilon, order: 2, variant: .heun), try DPMSolverMultistep(.epsilon, order: 1)),
      (try DEIS(order: 2), try DEIS(order: 1)), (try RESMultistep(order: 2), try DPMSolverMultistep(.sample, order: 1)),
      (try IPNDM(order: 2), try IPNDM(order: 1)),
    ]
    for (solver, lower) in pairs {
      let (high, low) = (try await Self.sample(solver, at: points), try await Self.sample(lower, at: points))
      let distance = DoubleTensor.combining((1, high.state), (-1, low.state)).rootMeanSquare()
      let estimate = try #require(high.stepErrors.last)
      #expect(abs(estimate.error / distance - 1) < 1e-12, "\(solver.name)")
    }
  }

  /// UniC's is the distance from the state that UniP predicts, and of the predictor's local error's order: a step half
  /// as long has one 2^(p + 1) times smaller.
  @Test(arguments: [1, 2, 3]) func theyFallWithTheStep(_ order: Int) async throws {
    for form in [UniPC.Form.published(.bh2), .consistent] {
      var largest: [Double] = []
      for steps in [128, 256] {
        let points = ExponentialOrderTests.graded(steps)
        let result = try await Self.sample(UniPC(order: order, form: form, lowersFinalOrder: false), at: points)
        // Away from the start, where orders rise, at the same place on both grids.
        largest.append(result.stepErrors[steps / 2].error)
      }
      let measured = Double.log(largest[0] / largest[1]) / Double.log(2)
      print("UniPC \(order), \(form): the estimate falls with order \(measured), \(order + 1) in theory")
      #expect(abs(measured - Double(order + 1)) < 0.15)
    }
  }
}
