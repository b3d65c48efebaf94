import RealModule
import Sampling
import Testing

/// Data whose trajectories along a path are known.
struct TrajectoryProblem: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let shape: Shape
  let predict: @Sendable (Prediction, DoubleTensor, TimePoint) -> DoubleTensor
  let solve: @Sendable (DoubleTensor, _ from: TimePoint, _ to: TimePoint, any NoisePath) async throws -> DoubleTensor

  static func gaussian(_ name: String, _ data: GaussianData) -> TrajectoryProblem {
    TrajectoryProblem(
      testDescription: name, shape: [data.mean.count], predict: { data.prediction($0, of: $1, at: $2) },
      solve: { state, s, t, _ in data.trajectory(of: state, from: s, to: t) })
  }

  /// By so many steps of third order that the tolerances tested see none of their error; of fourth from nothing but
  /// noise, where exponential integrators have no start.
  static func mixture(_ name: String, _ data: GaussianMixtureData) -> TrajectoryProblem {
    TrajectoryProblem(
      testDescription: name, shape: [data.components[0].mean.count], predict: { data.prediction($0, of: $1, at: $2) },
      solve: { state, s, t, path in
        let isFlow = s.alpha == 0
        let inner = (1..<3000).map { index in
          let fraction = Double(index) / 3000
          let sigma = s.sigma + (t.sigma - s.sigma) * fraction
          return path.point(
            lambda: isFlow ? .log((1 - sigma) / sigma) : s.lambda + (t.lambda - s.lambda) * fraction)
        }
        let solver: any Solver = isFlow ? FlowRungeKutta(.rungeKutta4) : try DPMSolverSinglestep(.sample, order: 3)
        let prediction = isFlow ? Prediction.flow : .epsilon
        let plan = try SamplingPlan(solver, at: [s] + inner + [t], prediction: prediction)
        return try await plan.run(fields: [NoiseField(seed: 0)], shape: state.shape, start: .states([state])) {
          $0.map { data.prediction(prediction, of: $0.state, at: $0.time) }
        }[0]
      })
  }

  static let all = [
    gaussian("Gaussian in 3 dimensions", ExactProblem.data),
    gaussian(
      "Gaussian in 16",
      GaussianData(
        mean: (0..<16).map { 0.1 * Double($0) - 0.7 }, variances: (0..<16).map { 2 * .exp(-0.3 * Double($0)) })),
    mixture("mixture in 2", MixtureProblem.data),
  ]
}

@Suite("Adaptive steps")
struct AdaptiveTests {
  static let pairs: [any EmbeddedPair] = {
    do {
      return try [Prediction.sample, .epsilon].flatMap { prediction in
        try [2, 3].map { try DPMSolverPair(prediction, order: $0) as any EmbeddedPair }
      } + RungeKuttaPair.Method.allCases.map { RungeKuttaPair($0, in: .noiseLevel) }
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  static let fields = (0..<24).map { NoiseField(seed: 2, image: $0) }
  static let shape: Shape = [2]

  static func denoise(_ requests: [DenoiserRequest<DoubleTensor>]) -> [DoubleTensor] {
    requests.map { MixtureProblem.data.prediction(.epsilon, of: $0.state, at: $0.time) }
  }

  static func sampler(
    _ pair: any EmbeddedPair, _ tolerance: Double, budget: Int = 20000,
    controller: StepController = .proportionalIntegral,
    endsClean: Bool = true
  ) throws -> AdaptiveSampler {
    try AdaptiveSampler(
      pair, on: .stableDiffusion, tolerance: ErrorTolerance(relative: tolerance), controller: controller,
      budget: budget, endsClean: endsClean)
  }

  @Test("take each image as if it were alone", arguments: [1, 2, 3, 8])
  func batches(_ size: Int) async throws {
    for pair in Self.pairs {
      let sampler = try Self.sampler(pair, 1e-3)
      let together = try await sampler.sample(
        fields: Array(Self.fields.prefix(size)), shape: Self.shape, denoise: Self.denoise)
      for (field, result) in zip(Self.fields, together) {
        let alone = try await sampler.sample(fields: [field], shape: Self.shape, denoise: Self.denoise)[0]
        #expect(alone.state == result.state)
        #expect(alone.evaluations == result.evaluations && alone.rejectedSteps == result.rejectedSteps)
        #expect(alone.stepErrors == result.stepErrors)
      }
      if size == 8 { #expect(Set(together.map(\.evaluations)).count > 1, "\(pair.name)") }
    }
  }

  /// Whatever the budget, the image is finished; the error falls as it grows, until it is what is tolerated.
  @Test("never exceed their budget", arguments: [1e-2, 1e-5])
  func budgets(_ tolerance: Double) async throws {
    let path = VariancePreserving.stableDiffusion
    let problem = TrajectoryProblem.all[0]
    for pair in Self.pairs {
      for endsClean in [true, false] {
        var errors: [Double] = []
        for budget in 1...60 {
          let sampler = try Self.sampler(pair, tolerance, budget: budget, endsClean: endsClean)
          var last: TimePoint?
          let result = try await sampler.sample(
            fields: [Self.fields[0]], shape: problem.shape, observe: { last = $0.time }
          ) { requests in requests.map { problem.predict(.epsilon, $0.state, $0.time) } }[0]
          #expect(result.evaluations <= budget)
          #expect(last == (endsClean ? path.clean : sampler.end), "\(pair.name) \(budget)")
          let start = DoubleTensor(noise: Self.fields[0], shape: problem.shape)
          let exact = try await problem.solve(start, sampler.start, sampler.end, path)
          errors.append(result.state.relativeError(to: exact))
        }
        let (few, some, many) = (errors[4], errors[19], errors[59])
        print("\(pair.name), rtol \(tolerance), budgets 5, 20 and 60: errors \(few), \(some), \(many)")
        #expect(errors.allSatisfy { $0.isFinite })
        #expect(errors.dropFirst(9).allSatisfy { $0 < 0.3 })
        #expect(many < max(few / 5, tolerance))
      }
    }
  }

  /// Rejected tries are paid for: the model is asked as often as the result says.
  @Test func rejectionsAreCounted() async throws {
    var rejected = 0
    for pair in Self.pairs {
      var asked = 0
      let results = try await Self.sampler(pair, 1e-4, controller: .integral).sample(
        fields: Self.fields, shape: Self.shape
      ) {
        (requests: [DenoiserRequest<DoubleTensor>]) in
        asked += requests.count
        return Self.denoise(requests)
      }
      rejected += results.reduce(0) { $0 + $1.rejectedSteps }
      #expect(results.reduce(0) { $0 + $1.evaluations } == asked)
      for result in results {
        let steps = result.stepErrors.count
        let perStep = pair.reusesLastStage ? pair.stages - 1 : pair.stages
        // The evaluation at the start of a step is not repeated with it.
        let expected: Int = 1 + steps * perStep + result.rejectedSteps * (pair.stages - 1)
        #expect(result.evaluations == expected)
      }
    }
    #expect(rejected > 0)
  }

  /// From nothing but noise, where neither lambda nor sigma / alpha exists.
  @Test(arguments: RungeKuttaPair.Method.allCases)
  func straightPathsNeverExceedTheirBudget(_ method: RungeKuttaPair.Method) async throws {
    for exponent in 2...5 {
      for budget in 1...20 {
        let short = try AdaptiveSampler(
          RungeKuttaPair(method, in: .sigma), on: RectifiedFlow(),
          tolerance: ErrorTolerance(relative: .pow(10, -exponent)), budget: budget, prediction: .flow)
        let result = try await short.sample(fields: [Self.fields[0]], shape: [3]) { requests in
          requests.map { ExactProblem.data.prediction(.flow, of: $0.state, at: $0.time) }
        }[0]
        #expect(result.evaluations <= budget && result.state.norm().isFinite)
      }
    }
  }

  /// A model that returns nonsense ends the run within the budget.
  @Test func nonsenseEnds() async throws {
    for pair in Self.pairs {
      let result = try await Self.sampler(pair, 1e-3, budget: 50).sample(fields: [Self.fields[0]], shape: Self.shape) {
        (requests: [DenoiserRequest<DoubleTensor>]) in requests.map { _ in DoubleTensor([.nan, 1]) }
      }[0]
      #expect(result.evaluations <= 50)
    }
  }

  @Test func pairsHaveNames() throws {
    let names = AdaptiveCatalogue.all.map(\.name)
    #expect(Set(names + SolverCatalogue.all.map(\.name)).count == names.count + SolverCatalogue.all.count)
    #expect(Set(names).isSuperset(of: Self.pairs.map(\.name)) && names.count == 8)
    for name in names { #expect(try AdaptiveCatalogue.entry(named: name.uppercased()).name == name) }
    #expect(throws: SamplingError.unknownSolver("ddim", known: names)) { try AdaptiveCatalogue.entry(named: "ddim") }
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    let pair = try DPMSolverPair(.sample, order: 2)
    let tolerance = try ErrorTolerance(relative: 1e-3)
    for (relative, absolute) in [(0.0, 0.0), (-1, 1), (.nan, 1), (1, .infinity)] {
      #expect(throws: SamplingError.self) { try ErrorTolerance(relative: relative, absolute: absolute) }
    }
    for order in [0, 1, 4] { #expect(throws: SamplingError.self) { try DPMSolverPair(.sample, order: order) } }
    #expect(throws: SamplingError.self) { try StepController(proportional: 0, integral: 0) }
    #expect(throws: SamplingError.self) { try StepController(proportional: 0, integral: 1, safety: 2) }
    #expect(throws: SamplingError.self) { try StepController(proportional: 0, integral: 1, growth: 1.5...2) }
    #expect(throws: SamplingError.self) {
      try AdaptiveSampler(pair, on: .stableDiffusion, tolerance: tolerance, budget: 0)
    }
    let path = VariancePreserving.stableDiffusion
    #expect(throws: SamplingError.self) { try AdaptiveSampler(pair, on: path, tolerance: tolerance, to: path.clean) }
    #expect(throws: SamplingError.self) {
      try AdaptiveSampler(pair, on: path, tolerance: tolerance, from: path.point(at: 10), to: path.point(at: 20))
    }
    // Nothing but noise has no log alpha; a diffusion's path is not straight; ε says nothing about x₀ at alpha 0.
    let flow = try RectifiedFlow()
    #expect(throws: SamplingError.self) { try AdaptiveSampler(pair, on: flow, tolerance: tolerance) }
    let straight = RungeKuttaPair(.bogackiShampine, in: .sigma)
    #expect(throws: SamplingError.self) { try AdaptiveSampler(straight, on: path, tolerance: tolerance) }
    #expect(throws: SamplingError.self) {
      try AdaptiveSampler(straight, on: flow, tolerance: tolerance, prediction: .epsilon)
    }
  }
}
