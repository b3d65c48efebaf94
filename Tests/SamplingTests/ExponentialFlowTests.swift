import RealModule
import Sampling
import Testing

/// The exponential solvers on the straight path: from nothing but noise to no noise at all.
///
/// `make test ARGS='--filter ExponentialFlowTests'` prints the orders.
@Suite("Exponential solvers on the straight path")
struct ExponentialFlowTests {
  static let solvers: [any Solver] = {
    do {
      return [
        try UniPC(order: 2, lowersFinalOrder: false), try UniPC(order: 2, form: .consistent, lowersFinalOrder: false),
        try DPMSolverMultistep(.sample, order: 2), try DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent),
        try RESMultistep(order: 2), try RESSinglestep(order: 2), try DEIS(order: 2),
      ]
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  @Test(arguments: solvers) func orders(_ solver: any Solver) async throws {
    let path = try RectifiedFlow()
    func points(_ steps: Int) -> [TimePoint] {
      (0...steps).map { path.point(sigma: 0.8 - 0.6 * Double($0) / Double(steps)) }
    }
    let expected = Double(try #require(solver.order))
    for prediction in [Prediction.flow, .sample, .epsilon] {
      let order = try await ExactProblem.order(of: solver, prediction: prediction, coarse: 192, points)
      print("\(solver.name), \(prediction): order \(order), \(expected) in theory")
      #expect(abs(order - expected) < 0.15)
    }
    let order = try await MixtureProblem.order(of: solver, prediction: .flow, coarse: 384, points)
    print("\(solver.name), mixture: order \(order), \(expected) in theory")
    #expect(abs(order - expected) < 0.15)
  }

  static func state(
    of solver: some Solver, at points: [TimePoint], prediction: Prediction = .flow
  ) async throws -> DoubleTensor {
    try await SamplingPlan(solver, at: points, prediction: prediction).run(
      fields: [NoiseField(seed: 0)], shape: [2], start: .states([DoubleTensor([0.4, -1.1])])
    ) { requests in
      requests.map { MixtureProblem.data.prediction(prediction, of: $0.state, at: $0.time) }
    }[0]
  }

  static let inner = [0.8, 0.55, 0.3, 0.1].map { TimePoint(timestep: 1000 * $0, alpha: 1 - $0, sigma: $0) }
  static let noise = TimePoint(timestep: 1000, alpha: 0, sigma: 1)
  static let clean = TimePoint(timestep: 0, alpha: 1, sigma: 0)

  /// Whatever reaches back to a far start does so by 1 / |lambda|: five times as far, a fifth of the distance to the
  /// start at alpha 0. What UniC makes of the step from it has no common limit, and it is left out there.
  @Test func theStartIsALimit() async throws {
    let solvers: [any Solver] = [
      try DPMSolverMultistep(.sample, order: 2), try DPMSolverMultistep(.sample, order: 3),
      try RESMultistep(order: 2), try UniPC(order: 3, corrects: false), try UniPC(order: 2, uncorrected: [0]),
    ]
    for solver in solvers {
      let limit = try await Self.state(of: solver, at: [Self.noise] + Self.inner + [Self.clean])
      var distances: [Double] = []
      for alpha in [1e-60, 1e-300] {
        let near = TimePoint(timestep: 1000, alpha: alpha, sigma: 1)
        let state = try await Self.state(of: solver, at: [near] + Self.inner + [Self.clean])
        distances.append(state.relativeError(to: limit))
      }
      #expect(abs(distances[0] / distances[1] - 5) < 0.2, "\(solver.name): \(distances)")
    }
  }

  /// In ε a step from alpha 0 would divide by it; there it is the same as in x₀, and the later ones are its own.
  @Test func noisePredictionStartsAtNothingButNoise() async throws {
    let points = [Self.noise] + Self.inner
    let first = try await Self.state(of: DPMSolverMultistep(.sample, order: 1), at: Array(points.prefix(2)))
    let solvers: [any Solver] = [
      try DEIS(order: 3), try DPMSolverMultistep(.epsilon, order: 2), try UniPC(.epsilon, order: 3),
      try Corrected(DEIS(order: 2)),
    ]
    for solver in solvers {
      let state = try await Self.state(of: solver, at: Array(points.prefix(2)))
      #expect(state.relativeError(to: first) < 1e-15, "\(solver.name)")
      #expect(try SamplingPlan(solver, at: points, prediction: .flow).evaluationCount == 4, "\(solver.name)")
      // ε says nothing about x₀ there.
      #expect(throws: SamplingError.self) { try SamplingPlan(solver, at: points, prediction: .epsilon) }
    }
  }

  /// In sigma / alpha the far start weighs nothing, or, by the even weights, as much as any other.
  @Test(arguments: IPNDM.Spacing.allCases) func theStartIsALimitInSigma(_ spacing: IPNDM.Spacing) async throws {
    let solver = try IPNDM(order: 4, spacing: spacing)
    let limit = try await Self.state(of: solver, at: [Self.noise] + Self.inner + [Self.clean])
    let near = TimePoint(timestep: 1000, alpha: 1e-8, sigma: 1)
    let state = try await Self.state(of: solver, at: [near] + Self.inner + [Self.clean])
    #expect(state.relativeError(to: limit) < 1e-6)
  }

  /// A last step of first order, in data prediction: the state becomes the prediction.
  @Test func theEndIsALimit() async throws {
    let start = [Self.noise] + Self.inner
    let solvers: [any Solver] = [
      try DPMSolverMultistep(.sample, order: 3, eulerAtFinal: true), try UniPC(order: 3),
      try RESMultistep(order: 3, lowersFinalOrder: true), try IPNDM(), GradientEstimation(),
    ]
    for solver in solvers {
      let limit = try await Self.state(of: solver, at: start + [Self.clean])
      let near = TimePoint(timestep: 0, alpha: 1, sigma: 1e-18)
      #expect(try await Self.state(of: solver, at: start + [near]).relativeError(to: limit) < 1e-15, "\(solver.name)")
    }
  }

  /// One step from noise alone is the model's image, for every solver and whatever the model says it as.
  @Test func oneStepIsThePrediction() async throws {
    for prediction in [Prediction.flow, .sample, .velocity] {
      let start = DoubleTensor([0.4, -1.1])
      let image = MixtureProblem.data.prediction(.sample, of: start, at: Self.noise)
      for entry in SolverCatalogue.all where entry.family == .diffusion && entry.families.contains(.flow) {
        let state = try await Self.state(
          of: entry.make(1), at: [Self.noise, Self.clean], prediction: prediction)
        #expect(state.relativeError(to: image) < 1e-15, "\(entry.name), \(prediction)")
      }
    }
  }
}
