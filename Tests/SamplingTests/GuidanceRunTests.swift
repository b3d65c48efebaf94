import Sampling
import Testing

/// Guidance in whole runs.
@Suite("Guided runs")
struct GuidanceRunTests {
  static let shape: Shape = [12]
  /// Every branch's model is the exact denoiser of other data.
  static func data(of branch: GuidanceBranch) -> GaussianData {
    let offset: Double =
      switch (branch.prompt, branch.perturbation) {
      case (.positive(let index), .none): 0.5 + Double(index)
      case (.negative(let index), .none): -0.3 - Double(index)
      default: 0.2
      }
    return GaussianData(
      mean: (0..<12).map { offset + 0.1 * Double($0 % 5) },
      variances: (0..<12).map { 0.2 + 0.05 * Double($0) + 0.1 * abs(offset) })
  }

  static func denoise(_ prediction: Prediction) -> ([DenoiserRequest<DoubleTensor>]) -> [DoubleTensor] {
    { $0.map { data(of: $0.branch).prediction(prediction, of: $0.state, at: $0.time) } }
  }

  static let methods: [any Guidance] = {
    do {
      let cfg = try ClassifierFreeGuidance(scale: 5)
      return [
        cfg, try CFGPlusPlusGuidance(scale: 0.6), try RescaledGuidance(cfg, share: 0.7),
        try RescaledGuidance(AdaptiveProjectedGuidance(scale: 4), share: 0.5, space: .epsilon),
        try ThresholdedGuidance(cfg), try IntervalGuidance(cfg, lower: 0.3, upper: 5),
        try IntervalGuidance(AdaptiveProjectedGuidance(scale: 4), lower: 0.3, upper: 5),
        try ScheduledGuidance(cfg, .cosine), try AdaptiveProjectedGuidance(scale: 6, radius: 2),
        try CFGZeroStarGuidance(scale: 4, zeroEvaluations: 2), try Autoguidance(scale: 2),
        try cfg.perturbedAttention(), try Unguided().smoothedEnergy(), try cfg.skippingLayers(["a"]),
        try AdaptiveProjectedGuidance(scale: 4).perturbedAttention(),
        try TangentialGuidance(scale: 5), try MagnitudeAwareGuidance(scale: 5, damping: 1),
        try PerpNegGuidance(scale: 5, weights: [1, 0.5]), try ComposedGuidance(weights: [3, 2, -1]),
        try WeightedNegativesGuidance(scale: 4, weights: [1, 2]),
      ]
    } catch {
      fatalError("\(error)")
    }
  }()

  static func plan(_ prediction: Prediction = .epsilon, steps: Int = 8) throws -> SamplingPlan {
    try SamplingPlan(DDIM(), on: .stableDiffusion, grid: TrailingGrid(steps: steps), prediction: prediction)
  }

  static func sample(
    _ guidance: some Guidance, _ prediction: Prediction = .epsilon, images: Range<UInt32> = 0..<1
  ) async throws -> [SamplingResult<DoubleTensor>] {
    try await plan(prediction).sample(
      fields: images.map { NoiseField(seed: 5, image: $0) }, shape: shape, guidance: guidance,
      denoise: denoise(prediction))
  }

  @Test(arguments: methods.indices) func imagesAreTheSameWhateverTheModelPredicts(_ index: Int) async throws {
    let guidance = Self.methods[index]
    let first = try await Self.sample(guidance, .epsilon)[0].state
    for prediction in [Prediction.sample, .velocity, .flow] {
      let other = try await Self.sample(guidance, prediction)[0].state
      let error = other.relativeError(to: first)
      #expect(error < 1e-10, "\(guidance) \(prediction)")
    }
    let unguided = try await Self.sample(Unguided())[0].state
    #expect(first.relativeError(to: unguided) > 1e-3, "\(guidance)")
  }

  /// Momentum is an image's own, and starts anew in every run.
  @Test(arguments: methods.indices) func anImageIsTheSameAloneAndAmongOthers(_ index: Int) async throws {
    let guidance = Self.methods[index]
    let together = try await Self.sample(guidance, images: 0..<3)
    for (image, result) in together.enumerated() {
      let alone = try await Self.sample(guidance, images: UInt32(image)..<UInt32(image) + 1)
      #expect(alone[0].state == result.state && alone[0].evaluations == result.evaluations)
    }
    #expect(Set(together.map(\.state)).count == 3)
  }

  @Test func runsAtOnceDoNotDisturbEachOther() async throws {
    let guidance = try AdaptiveProjectedGuidance(scale: 6, momentum: -0.7, radius: 2)
    let expected = try await Self.sample(guidance)[0].state
    try await withThrowingTaskGroup(of: DoubleTensor.self) { group in
      for _ in 0..<8 { group.addTask { try await Self.sample(guidance)[0].state } }
      for try await image in group { #expect(image == expected) }
    }
  }

  @Test func evaluationsAreCountedAsTheyAreMade() async throws {
    let cfg = try ClassifierFreeGuidance(scale: 5)
    let plan = try Self.plan()
    let inside = plan.grid.dropLast().count { 0.3 < $0.noiseToSignal && $0.noiseToSignal <= 5 }
    #expect(0 < inside && inside < 8)
    let expected: [(any Guidance, Int)] = [
      (Unguided(), 8), (cfg, 16), (try ClassifierFreeGuidance(scale: 1), 8),
      (try IntervalGuidance(cfg, lower: 0.3, upper: 5), 8 + inside),
      (try CFGZeroStarGuidance(scale: 4, zeroEvaluations: 3), 10), (try cfg.perturbedAttention(), 24),
      (try cfg.perturbedAttention(interval: (0.3, 5)), 16 + inside),
      (try PerpNegGuidance(scale: 5, weights: [1, 0.5]), 32), (try ComposedGuidance(weights: [3, 2, -1]), 32),
    ]
    for (guidance, evaluations) in expected {
      #expect(try await Self.evaluations(of: guidance) == [evaluations, evaluations], "\(guidance)")
    }
  }

  /// As the model and the result count them.
  private static func evaluations(of guidance: some Guidance) async throws -> [Int] {
    var seen = 0
    let results = try await plan().sample(
      fields: [NoiseField(seed: 5)], shape: shape, guidance: guidance
    ) { (requests: [DenoiserRequest<DoubleTensor>]) in
      seen += requests.count
      return denoise(.epsilon)(requests)
    }
    return [seen, results[0].evaluations]
  }

  /// Of a space that says nothing at a point that is visited, before anything is computed; others go on.
  @Test func spacesThatSayNothingAreRefused() async throws {
    func run(_ guidance: some Guidance) async throws -> DoubleTensor {
      let plan = try SamplingPlan(
        FlowRungeKutta(.euler), on: RectifiedFlow(), grid: TrailingGrid(steps: 3), prediction: .flow)
      return try await plan.run(seed: 1, shape: [4], guidance: guidance) { requests in
        requests.map { DoubleTensor.combining(($0.branch == .conditional ? 1 : 0.9, $0.state)) }
      }
    }
    let unusable = try TangentialGuidance(scale: 3)
    let error = await #expect(throws: SamplingError.self) { try await run(unusable) }
    #expect(error?.description.contains("epsilon") ?? false)
    let image = try await run(try TangentialGuidance(scale: 3, space: .flow))
    #expect(image.values.allSatisfy { $0.isFinite })
  }

  /// What is not a number goes on as such, to be found in the result.
  @Test(arguments: [SampleBound.clip(limit: 1), .threshold(quantile: 0.9, maximum: 2)])
  func boundsLeaveWhatIsNotANumber(_ bound: SampleBound) async throws {
    let plan = try SamplingPlan(DDIM(), on: .stableDiffusion, grid: TrailingGrid(steps: 3), bound: bound)
    for value in [Double.nan, .infinity, -.infinity] {
      let image: DoubleTensor = try await plan.run(seed: 1, shape: [4]) { requests in
        requests.map { DoubleTensor(Array($0.state.values.dropLast()) + [value]) }
      }
      #expect(value.isNaN ? image.values[3].isNaN : true)
      #expect(image.shape == [4])
    }
  }
}
