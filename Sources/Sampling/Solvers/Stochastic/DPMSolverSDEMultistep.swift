/// DPM-Solver and DPM-Solver++ for the reverse SDE, multistep: one evaluation and one draw a step.
///
/// Lu et al. 2022, arXiv:2211.01095 (SDE-DPM-Solver and SDE-DPM-Solver++); with eta other than 1,
/// and for the third order, k-diffusion's DPM++ 2M SDE and 3M SDE. Starts with lower orders; a step to sigma 0 is of
/// first order and adds no noise.
///
/// The drift's noise-free skeleton, and the mean, have the order of the deterministic method. The variance, and so the
/// distribution, has order 2 at most: within a step the state wanders, and what that adds to the integral of the
/// prediction has variance h³ / 12 times the square of its slope, which no scheme with one draw a step reproduces.
public struct DPMSolverSDEMultistep: Solver {
  /// How the third order's second derivative is weighted.
  public enum ThirdOrder: String, Sendable, CaseIterable {
    /// As diffusers computes it: with a sign wrong, and of first order. It exists for x₀ and eta 1 alone; for ε
    /// diffusers has no third order.
    case published
    /// As k-diffusion computes it: half of what the third order needs, which leaves order 2.
    case halved
    /// Right, with the second step taken anew from the first point as in ``DPMSolverMultistep/ThirdOrder/consistent``.
    case consistent
  }

  /// `.sample` for SDE-DPM-Solver++, `.epsilon` for SDE-DPM-Solver.
  public let prediction: Prediction
  /// The highest order used: 1, 2 or 3.
  public let stepOrder: Int
  public let variant: DPMSolverMultistep.Variant
  public let thirdOrder: ThirdOrder
  /// τ²: 0 leaves the probability-flow ODE, 1 is the reverse diffusion.
  public let eta: Double
  /// Multiplies the noise; 1 keeps the marginals.
  public let noiseScale: Double
  /// Lowers the order of the last steps to 2 and 1, as diffusers does below 15 steps.
  public let lowersFinalOrder: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...3, another prediction,
  ///   noise that is negative, or a published third order that nobody published.
  public init(
    _ prediction: Prediction, order: Int, variant: DPMSolverMultistep.Variant = .midpoint,
    thirdOrder: ThirdOrder = .halved, eta: Double = 1, noiseScale: Double = 1, lowersFinalOrder: Bool = false
  ) throws(SamplingError) {
    try checkDPMOptions(prediction, order: order)
    try checkNoise("eta", eta)
    try checkNoise("the scale of the noise", noiseScale)
    if order == 3, thirdOrder == .published, prediction != .sample || eta != 1 {
      throw .invalidOption(
        name: "the third order of SDE-DPM-Solver", found: "published, for \(prediction) with eta \(eta)",
        expected: "halved or consistent: only the form for x₀ with eta 1 is published")
    }
    self.prediction = prediction
    self.stepOrder = order
    self.variant = variant
    self.thirdOrder = thirdOrder
    self.eta = eta
    self.noiseScale = noiseScale
    self.lowersFinalOrder = lowersFinalOrder
  }

  public var name: String {
    let suffix = stepOrder == 3 && thirdOrder != .halved ? "-\(thirdOrder)" : ""
    return "\(prediction == .sample ? "dpm++" : "dpm-solver-")\(stepOrder)m-sde\(suffix)"
  }

  public var order: Int? { eta == 0 ? (stepOrder == 3 && thirdOrder == .halved ? 2 : stepOrder) : nil }

  public var stochasticOrder: StochasticOrder? {
    if eta == 0 { return nil }
    if stepOrder == 3, thirdOrder == .published { return StochasticOrder(weak: 1, strong: 0.5) }
    return StochasticOrder(weak: stepOrder == 1 ? 1 : 2, strong: 1)
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    if prediction == .epsilon { try requireNoise(steps) }
    let start = plan.currentState
    let isConsistent = stepOrder == 3 && thirdOrder == .consistent
    var history: [(value: PlanBuilder.Operand, h: Double)] = []  // newest first, with the step that followed
    for (index, (s, t)) in steps.enumerated() {
      let now = plan.evaluate(prediction, at: s)
      var order = min(stepOrder, history.count + 1)
      if t.isClean { order = 1 }
      if lowersFinalOrder { order = min(order, steps.count - index) }

      if order == 2, index == 1, isConsistent {
        let both = step(from: steps.points[0], to: t)
        let slope = both.h / history[0].h * (1 * now - 1 * history[0].value)
        plan.step(
          both.carry * start + both.weight(1) * history[0].value + both.weight(2) * slope
            + noiseScale * both.deviation * .noise(from: steps.points[0], to: t))
      } else {
        let step = step(from: s, to: t)
        let noise = noiseScale * step.deviation * .noise(from: s, to: t)
        plan.step(
          step.carry * .state + drift(step, now, history, order: order) + noise, keepsNoise: index == 0 && isConsistent)
      }
      history = [(now, t.lambda - s.lambda)] + history.prefix(1)
    }
  }

  private func step(from s: TimePoint, to t: TimePoint) -> ReverseStep {
    ReverseStep(
      prediction, from: s, to: t, tauSquared: eta,
      hasPublishedThird: stepOrder == 3 && thirdOrder == .published)
  }

  /// The prediction's part, from divided differences of f over lambda, times h.
  private func drift(
    _ step: ReverseStep, _ now: PlanBuilder.Operand, _ history: [(value: PlanBuilder.Operand, h: Double)], order: Int
  ) -> PlanExpression {
    let drift = step.weight(1) * now
    guard order >= 2 else { return drift }
    let slope = step.h / history[0].h * (1 * now - 1 * history[0].value)
    if order == 2 { return drift + (variant == .midpoint ? step.weight(1) / 2 : step.weight(2)) * slope }
    let earlier = step.h / history[1].h * (1 * history[0].value - 1 * history[1].value)
    let span = history[0].h + history[1].h
    let difference = slope - earlier
    let first = slope + history[0].h / span * difference
    let second = (thirdOrder == .consistent ? 2 : 1) * step.h / span * difference
    return drift + step.weight(2) * first + step.weight(3) * second
  }
}

extension DPMSolverSDEMultistep {
  static let entries = [
    entry(.epsilon, order: 1), entry(.epsilon, order: 2), entry(.epsilon, order: 3, .consistent),
    entry(.sample, order: 1), entry(.sample, order: 2), entry(.sample, order: 3, .halved),
    entry(.sample, order: 3, .published), entry(.sample, order: 3, .consistent),
  ]

  private static func entry(_ prediction: Prediction, order: Int, _ third: ThirdOrder = .halved) -> SolverEntry {
    let note =
      switch third {
      case _ where order < 3: ""
      case .published: " by name and 1 by measurement, as in diffusers"
      case .halved: " by name and 2 by measurement, as in k-diffusion"
      case .consistent: " without noise and 2 with it"
      }
    let suffix = order == 3 && third != .halved ? "-\(third)" : ""
    return SolverEntry(
      "\(prediction == .sample ? "dpm++" : "dpm-solver-")\(order)m-sde\(suffix)",
      "reverse SDE, multistep, order \(order)\(note), 15 to 50 steps", paper: "arXiv:2211.01095",
      conventions: .multistep.with { $0.end = prediction == .sample ? .clean : .leastNoise }
    ) { steps throws(SamplingError) in
      try DPMSolverSDEMultistep(prediction, order: order, thirdOrder: third, lowersFinalOrder: steps < 15)
    }
  }
}
