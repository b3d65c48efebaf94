import RealModule
import Sampling
import Testing

/// Every formula against plain arithmetic on vectors of two or three elements.
@Suite("Guidance formulas")
struct GuidanceTests {
  static let moment = GuidanceMoment(point: TimePoint(timestep: 500, alpha: 0.8, sigma: 0.6), evaluation: 3)

  static func moment(noise: Double, evaluation: Int = 0) -> GuidanceMoment {
    GuidanceMoment(point: TimePoint(timestep: 1, alpha: 1, sigma: noise), evaluation: evaluation)
  }

  static func combine(
    _ guidance: some Guidance, _ outputs: [GuidanceBranch: [Double]], at moment: GuidanceMoment = moment,
    memory: inout GuidanceMemory<DoubleTensor>
  ) throws -> [Double] {
    let branches = guidance.branches(at: moment)
    return guidance.combine(
      BranchOutputs(
        try branches.map { DoubleTensor(try #require(outputs[$0], "\($0)")) }, of: branches,
        state: DoubleTensor(zeros: [outputs.values.first?.count ?? 2])), at: moment, memory: &memory
    ).values
  }

  static func combine(
    _ guidance: some Guidance, _ outputs: [GuidanceBranch: [Double]], at moment: GuidanceMoment = moment
  ) throws -> [Double] {
    var memory = GuidanceMemory<DoubleTensor>()
    return try combine(guidance, outputs, at: moment, memory: &memory)
  }

  static func isClose(_ one: [Double], _ other: [Double]) -> Bool {
    one.count == other.count && zip(one, other).allSatisfy { abs($0 - $1) <= 1e-14 * max(1, abs($1)) }
  }

  static let pair: [GuidanceBranch: [Double]] = [.conditional: [3, 4], .unconditional: [1, 2]]

  @Test func scalesAreCountedAsTheFormulationSays() throws {
    // u + 3 (c - u) and c + 3 (c - u) with c - u = (2, 2).
    #expect(try Self.combine(ClassifierFreeGuidance(scale: 3), Self.pair) == [7, 8])
    #expect(try Self.combine(ClassifierFreeGuidance(scale: 3, formulation: .fromConditional), Self.pair) == [9, 10])
    #expect(try Self.combine(ClassifierFreeGuidance(scale: 3, formulation: .excess), Self.pair) == [7, 8])
  }

  /// At the scale that is no guidance one evaluation is made, and its output comes back to the bit.
  @Test func noGuidanceCostsOneEvaluation() throws {
    for formulation in GuidanceFormulation.allCases {
      let scale = formulation.neutralScale
      let methods: [any Guidance] = [
        try ClassifierFreeGuidance(scale: scale, formulation: formulation),
        try AdaptiveProjectedGuidance(scale: scale, formulation: formulation),
        try CFGZeroStarGuidance(scale: scale, formulation: formulation),
        try TangentialGuidance(scale: scale, formulation: formulation),
        try MagnitudeAwareGuidance(scale: scale, formulation: formulation),
        try Autoguidance(scale: 1), try WeightedNegativesGuidance(scale: 1, weights: [1, 2]),
        try ComposedGuidance(weights: [1]), try Unguided().perturbedAttention(scale: 0),
      ]
      for method in methods {
        #expect(method.branches(at: Self.moment) == [.conditional], "\(method)")
        #expect(try Self.combine(method, [.conditional: [3, 0.1]]) == [3, 0.1], "\(method)")
      }
    }
  }

  @Test func cfgPlusPlusInterpolates() throws {
    #expect(Self.isClose(try Self.combine(CFGPlusPlusGuidance(scale: 0.25), Self.pair), [1.5, 2.5]))
    #expect(try CFGPlusPlusGuidance(scale: 1).branches(at: Self.moment) == [.unconditional, .conditional])
    #expect(try CFGPlusPlusGuidance(scale: 0).branches(at: Self.moment) == [.unconditional])
    #expect(throws: SamplingError.self) { try CFGPlusPlusGuidance(scale: 1.5) }
  }

  /// c has the deviation 1 / √2 and the guided prediction 3 / √2 with w 3, phi 0.5: the factor is 0.5 / 3 + 0.5.
  @Test func rescalingComparesDeviations() throws {
    let guidance = try RescaledGuidance(ClassifierFreeGuidance(scale: 3), share: 0.5, space: .epsilon)
    let outputs: [GuidanceBranch: [Double]] = [.conditional: [0, 1], .unconditional: [0, 0]]
    #expect(Self.isClose(try Self.combine(guidance, outputs), [0, 3 * (0.5 / 3 + 0.5)]))
  }

  /// What is needed at any moment, and nothing else, is known beforehand.
  @Test func allBranchesAreTheMoments() throws {
    let free = try ClassifierFreeGuidance(scale: 3)
    let perturbed = try free.perturbedAttention(interval: (lower: 0.5, upper: 5))
    let methods: [any Guidance] = [
      free, try ClassifierFreeGuidance(scale: 0), Unguided(), perturbed, try free.perturbedAttention(scale: 0),
      try IntervalGuidance(free, lower: 0.5, upper: 5), try IntervalGuidance(perturbed, lower: 0.1, upper: 1),
      try ScheduledGuidance(IntervalGuidance(free, lower: 1, upper: 2), .linear),
      try RescaledGuidance(free, share: 0.5),
      try ThresholdedGuidance(perturbed), try CFGZeroStarGuidance(scale: 3), try CFGPlusPlusGuidance(scale: 0.5),
      try AdaptiveProjectedGuidance(scale: 3), try TangentialGuidance(scale: 3), try Autoguidance(scale: 2),
      try PerpNegGuidance(scale: 4, weights: [0.5, 0, 1]), try ComposedGuidance(weights: [0.5, 0, 0.75]),
      try WeightedNegativesGuidance(scale: 2, weights: [1, 2]), try Unguided().skippingLayers(["a"]),
    ]
    for method in methods {
      var needed: Set<GuidanceBranch> = []
      for noise in [0.05, 0.3, 0.7, 1.5, 4, 50] {
        for evaluation in 0..<2 {
          needed.formUnion(method.branches(at: Self.moment(noise: noise, evaluation: evaluation)))
        }
      }
      #expect(Set(method.allBranches) == needed && method.allBranches.count == needed.count, "\(method)")
    }
  }

  /// Guidances on top of others are equal where all their parts are.
  @Test func guidancesAreCompared() throws {
    func methods(_ scale: Double, _ part: Double) throws -> [AnyHashable] {
      let free = try ClassifierFreeGuidance(scale: scale)
      return [
        try IntervalGuidance(free, lower: part, upper: 2), try RescaledGuidance(free, share: part),
        try ThresholdedGuidance(free, .clip(limit: part)), try ScheduledGuidance(free, .powerCosine(exponent: part)),
        try free.perturbedAttention(interval: (lower: part, upper: 2)),
      ]
    }
    #expect(try methods(3, 0.5) == methods(3, 0.5))
    #expect(try Set(methods(3, 0.5) + methods(3, 0.25) + methods(2, 0.5) + methods(3, 0.5)).count == 15)
  }

  @Test func thresholdsLimitTheCleanImage() throws {
    let guidance = try ThresholdedGuidance(
      ClassifierFreeGuidance(scale: 3), .threshold(quantile: 0.5, maximum: 100))
    // Guided (7, 8): the median magnitude is 7.5.
    #expect(Self.isClose(try Self.combine(guidance, Self.pair), [7 / 7.5, 1]))
    #expect(guidance.space == .sample)
  }

  @Test func intervalsAreOpenBelowAndClosedAbove() throws {
    let guidance = try IntervalGuidance(ClassifierFreeGuidance(scale: 3), lower: 0.5, upper: 2)
    for (noise, isGuided) in [(0.5, false), (0.6, true), (2, true), (2.1, false)] {
      let moment = Self.moment(noise: noise)
      #expect(guidance.branches(at: moment).count == (isGuided ? 2 : 1))
      #expect(try Self.combine(guidance, Self.pair, at: moment) == (isGuided ? [7, 8] : [3, 4]))
    }
    #expect(throws: SamplingError.self) { try IntervalGuidance(Unguided(), lower: 2, upper: 2) }
    #expect(throws: SamplingError.self) { try IntervalGuidance(Unguided(), lower: -1, upper: 2) }
  }

  /// sigma / (alpha + sigma) is 0.25 at noise level 1 / 3.
  @Test func schedulesScaleWhatGuidanceAdds() throws {
    let moment = Self.moment(noise: 1.0 / 3)
    for (schedule, factor) in [
      (GuidanceSchedule.linear, 1.5), (.cosine, 1 + 0.5.squareRoot()),
      (.powerCosine(exponent: 1), (1 + 0.5.squareRoot()) / 2),
    ] {
      let guidance = try ScheduledGuidance(ClassifierFreeGuidance(scale: 3), schedule)
      #expect(Self.isClose(try Self.combine(guidance, Self.pair, at: moment), [3 + 4 * factor, 4 + 4 * factor]))
    }
    let pureNoise = GuidanceMoment(point: TimePoint(timestep: 1, alpha: 0, sigma: 1), evaluation: 0)
    let guidance = try ScheduledGuidance(ClassifierFreeGuidance(scale: 3), .linear)
    #expect(guidance.branches(at: pureNoise) == [.conditional])
    #expect(throws: SamplingError.self) { try ScheduledGuidance(Unguided(), .powerCosine(exponent: 0)) }
  }

  @Test func projectionSplitsTheDirection() throws {
    // c = (0, 2), d = (3, 4) of length 5, shortened to 2.5: (1.5, 2); perpendicular (1.5, 0), parallel (0, 2).
    let outputs: [GuidanceBranch: [Double]] = [.conditional: [0, 2], .unconditional: [-3, -2]]
    let guidance = try AdaptiveProjectedGuidance(scale: 3, momentum: 0.5, radius: 2.5, parallelShare: 0.25)
    var memory = GuidanceMemory<DoubleTensor>()
    #expect(
      Self.isClose(try Self.combine(guidance, outputs, memory: &memory), [2 * 1.5, 2 + 2 * 0.25 * 2]))
    // The second time d = (3, 4) + 0.5 (3, 4), of length 7.5, shortened to the same; the memory is of before that.
    _ = try Self.combine(guidance, outputs, memory: &memory)
    #expect(memory.tensors.values.map(\.values) == [[4.5, 6]])
  }

  @Test func zeroStarFitsAndZeroes() throws {
    // <c, u> / |u|² = 11 / 5, but for the 1e-8.
    let fit = 11 / (5 + 1e-8)
    let guidance = try CFGZeroStarGuidance(scale: 3, zeroEvaluations: 2)
    #expect(Self.isClose(try Self.combine(guidance, Self.pair), [fit + 3 * (3 - fit), 2 * fit + 3 * (4 - 2 * fit)]))
    for evaluation in 0..<2 {
      let moment = Self.moment(noise: 1, evaluation: evaluation)
      #expect(guidance.branches(at: moment).isEmpty)
      #expect(try Self.combine(guidance, Self.pair, at: moment) == [0, 0])
    }
  }

  /// c = (2, 0) and u = (0, 1) share nothing: the greater singular vector is c's, and u's part along it is 0.
  @Test func tangentialKeepsWhatIsShared() throws {
    let outputs: [GuidanceBranch: [Double]] = [.conditional: [2, 0], .unconditional: [0, 1]]
    #expect(Self.isClose(try Self.combine(TangentialGuidance(scale: 3), outputs), [6, 0]))
    // Of the same length, the vector is along their sum (1.6, 0.8): u = (0.6, 0.8) becomes (0.8, 0.4).
    let equal: [GuidanceBranch: [Double]] = [.conditional: [1, 0], .unconditional: [0.6, 0.8]]
    #expect(Self.isClose(try Self.combine(TangentialGuidance(scale: 3), equal), [0.8 + 3 * 0.2, 0.4 - 3 * 0.4]))
  }

  @Test func magnitudeDampsTheScale() throws {
    // |c - u| / |u| = 1 with c = 2 u.
    let outputs: [GuidanceBranch: [Double]] = [.conditional: [6, 8], .unconditional: [3, 4]]
    let factor = 1 + 4 * Double.exp(-2)
    #expect(
      Self.isClose(
        try Self.combine(MagnitudeAwareGuidance(scale: 5, damping: 2), outputs), [3 + 3 * factor, 4 + 4 * factor]))
  }

  @Test func lesserModelsAreLeftBehind() throws {
    let weak = GuidanceBranch(.positive(0), .weakModel)
    #expect(try Self.combine(Autoguidance(scale: 2), [.conditional: [3, 4], weak: [2, 5]]) == [4, 3])
    let skipped = GuidanceBranch(.positive(0), .skipped(layers: ["a"]))
    let guidance = try ClassifierFreeGuidance(scale: 3).skippingLayers(["a"], scale: 2)
    var outputs = Self.pair
    outputs[skipped] = [2, 5]
    #expect(try Self.combine(guidance, outputs) == [7 + 2, 8 - 2])
    #expect(try Unguided().skippingLayers(["a"]).branches(at: Self.moment) == [.conditional, skipped])
    #expect(throws: SamplingError.self) { try Unguided().skippingLayers([]) }
    #expect(throws: SamplingError.self) { try Unguided().smoothedEnergy(sigma: 0) }
    #expect(throws: SamplingError.self) { try Autoguidance(scale: 2, weak: .conditional) }
  }

  @Test func negativesCountByTheirPerpendicularPart() throws {
    // u = 0, p = (2, 0), q = (1, 3): perpendicular (0, 3).
    let outputs: [GuidanceBranch: [Double]] = [
      .conditional: [2, 0], .unconditional: [0, 0], GuidanceBranch(.negative(1)): [1, 3],
    ]
    #expect(try Self.combine(PerpNegGuidance(scale: 4, weights: [0.5]), outputs) == [8, -6])
    #expect(throws: SamplingError.self) { try PerpNegGuidance(scale: 4, weights: []) }
  }

  @Test func promptsAreComposed() throws {
    let second = GuidanceBranch(.positive(1))
    let outputs: [GuidanceBranch: [Double]] = [.conditional: [3, 4], second: [0, 2], .unconditional: [1, 1]]
    // (1, 1) + 2 (2, 3) - 0.5 (-1, 1).
    #expect(try Self.combine(ComposedGuidance(weights: [2, -0.5]), outputs) == [5.5, 6.5])
    #expect(try ComposedGuidance(weights: [0.5, 0, 0.5]).branches(at: Self.moment).count == 2)
    let negatives: [GuidanceBranch: [Double]] = [
      .conditional: [3, 4], .unconditional: [1, 1], GuidanceBranch(.negative(1)): [5, 1],
    ]
    // The mean of the negatives is (4, 1).
    #expect(
      Self.isClose(
        try Self.combine(WeightedNegativesGuidance(scale: 2, weights: [1, 3]), negatives), [2, 7]))
    #expect(throws: SamplingError.self) { try WeightedNegativesGuidance(scale: 2, weights: [0]) }
    #expect(throws: SamplingError.self) { try ComposedGuidance(weights: [.nan]) }
  }
}
