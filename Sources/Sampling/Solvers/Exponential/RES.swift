/// RES, multistep: the exponential Adams-Bashforth method in x₀, which meets the stiff order conditions that
/// DPM-Solver++ does not. One evaluation a step.
///
/// Zhang et al. 2023, arXiv:2308.02157: with c₂ = -h₁ / h for the step before, b₂ = φ₂ / c₂
/// and b₁ = φ₁ - b₂, and so on. Orders 2 (`res_2m`) and 3 (`res_3m`); the third goes its second step anew from the
/// first point.
public struct RESMultistep: MultistepSolver {
  public let stepOrder: Int
  public let lowersFinalOrder: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order other than 2 or 3.
  public init(order: Int, lowersFinalOrder: Bool = false) throws(SamplingError) {
    try checkRESOrder(order)
    self.stepOrder = order
    self.lowersFinalOrder = lowersFinalOrder
  }

  public var name: String { "res-\(stepOrder)m" }
  public var order: Int? { stepOrder }
  public var prediction: Prediction { .sample }
  public var retakesSecondStep: Bool { stepOrder == 3 }

  public func update(_ step: MultistepStep) -> PlanExpression {
    step.interpolated(.sample)
  }
}

/// RES, singlestep: exponential Runge-Kutta methods in x₀ with stages at c₂ and c₃, of orders 2 and 3.
///
/// Zhang et al. 2023, arXiv:2308.02157, after Hochbruck and Ostermann 2005, "Explicit exponential
/// Runge-Kutta methods for semilinear parabolic problems", section 5:
///
///     order 2:  b₂ = φ₂ / c₂
///     order 3:  b₂ = γ b₃,  b₃ = φ₂ / (γ c₂ + c₃),  2 (γ c₂ + c₃) = 3 (γ c₂² + c₃²)
///               a₃₂ = γ c₂ φ₂(c₂) + c₃² / c₂ φ₂(c₃)
///
/// with each row summing to c φ₁(c). The stages lie on the grid's own points, as DPM-Solver's do: a step of order k
/// spans k intervals, and c₂ and c₃ are where its points divide it; ``StageGrid`` puts them where they are wanted. With
/// `endsInStage` the last stage is the step's end, c = 1, and the step spans one interval less. Where the intervals do
/// not come out even the last step is of lower order, one to sigma 0 is of first order, and where c₂ nears 2/3, for
/// which there is no third order, the step is of second.
public struct RESSinglestep: Solver {
  public let stepOrder: Int
  public let endsInStage: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order other than 2 or 3.
  public init(order: Int, endsInStage: Bool = false) throws(SamplingError) {
    try checkRESOrder(order)
    self.stepOrder = order
    self.endsInStage = endsInStage
  }

  public var name: String { "res-\(stepOrder)s\(endsInStage ? "-end" : "")" }
  public var order: Int? { stepOrder }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps, exceptAtStart: true)
    var start = 0
    while start < steps.count {
      let (span, order) = step(from: start, of: steps.points)
      compileStep(Array(steps.points[start...(start + span)]), order: order, into: &plan)
      start += span
    }
  }

  /// How many intervals the step from a point of the grid spans, and its order.
  private func step(from start: Int, of points: [TimePoint]) -> (span: Int, order: Int) {
    // A step from alpha 0 or to sigma 0 is infinitely long in lambda: first order, which is exact there.
    let rest = points[(start + 1)...].count { !$0.isClean }
    guard points[start].alpha > 0, rest > 0 else { return (1, 1) }
    let extra = endsInStage ? 1 : 0
    let span = min(stepOrder - extra, rest)
    guard span + extra == 3 else { return (span, span + extra) }
    let lambdas = points[start...(start + span)].map(\.lambda)
    let c2 = (lambdas[1] - lambdas[0]) / (lambdas[span] - lambdas[0])
    return c2 > 0.6 ? (span - 1, 2) : (span, 3)
  }

  /// One step over all of `points`: every interior one completes a step of the grid, as a stage.
  private func compileStep(_ points: [TimePoint], order: Int, into plan: inout PlanBuilder) {
    let (s, t) = (points[0], points[points.count - 1])
    let start = plan.currentState
    let whole = ExponentialStep(.sample, from: s, to: t)
    let stages = order == points.count ? points : points.dropLast()
    let c = stages.map { $0 == s ? 0 : ($0.lambda - s.lambda) / whole.h }
    let ratio = order == 3 ? Self.ratio(c[1], c[2]) : 0
    var values = [plan.evaluate(.sample, at: s)]

    /// The state at `end`, from weights of x₀ at the stages after the first.
    func state(at end: TimePoint, _ weights: [Double]) -> PlanExpression {
      let step = ExponentialStep(.sample, from: s, to: end)
      let terms = zip(values.dropFirst(), weights)
      return terms.reduce(step.carry * start + (step.weight(1) - weights.reduce(0, +)) * values[0]) { $0 + $1.1 * $1.0 }
    }
    for (index, stage) in stages.enumerated().dropFirst() {
      var weights: [Double] = []
      if index == 2 {
        // a₃₂ h, in the stage's alpha as all of its weights.
        let (first, second) = (stages[1], stage)
        let weight = (
          ExponentialStep(.sample, from: s, to: first).weight(2),
          ExponentialStep(.sample, from: s, to: second).weight(2)
        )
        weights = [ratio * weight.0 * second.alpha / first.alpha + c[2] / c[1] * weight.1]
      }
      let stageState = state(at: stage, weights)
      if index < points.count - 1 {
        plan.step(stageState)
        values.append(plan.evaluate(.sample, at: stage))
      } else {
        values.append(plan.evaluate(.sample, at: stage, of: plan.stage(stageState)))
      }
    }
    switch order {
    case 2:
      let weight = whole.weight(2) / c[1]
      plan.estimateError(weight * (1 * values[1] - 1 * values[0]))
      plan.step(state(at: t, [weight]))
    case 3:
      let last = whole.weight(2) / (ratio * c[1] + c[2])
      // Against the second order with the same first stage.
      let embedded = state(at: t, [whole.weight(2) / c[1], 0])
      let update = state(at: t, [ratio * last, last])
      plan.estimateError(update - embedded)
      plan.step(update)
    default:
      plan.step(state(at: t, []))
    }
  }

  /// γ.
  private static func ratio(_ c2: Double, _ c3: Double) -> Double {
    c3 * (3 * c3 - 2) / (c2 * (2 - 3 * c2))
  }
}

private func checkRESOrder(_ order: Int) throws(SamplingError) {
  guard (2...3).contains(order) else {
    throw .invalidOption(name: "the order of RES", found: "\(order)", expected: "2 or 3")
  }
}

extension RESMultistep {
  static let entries = [entry(order: 2), entry(order: 3)]

  private static func entry(order: Int) -> SolverEntry {
    SolverEntry(
      "res-\(order)m", "multistep, order \(order) by the stiff order conditions, 10 to 20 steps",
      paper: "arXiv:2308.02157", otherFamilies: [.flow], conventions: .multistep
    ) { steps throws(SamplingError) in
      try RESMultistep(order: order, lowersFinalOrder: steps < 15)
    }
  }
}

extension RESSinglestep {
  static let entries = [entry(order: 2), entry(order: 3)]

  private static func entry(order: Int) -> SolverEntry {
    SolverEntry(
      "res-\(order)s", "exponential Runge-Kutta, order \(order), N evaluations for N steps",
      paper: "arXiv:2308.02157", otherFamilies: [.flow], conventions: .multistep.with { $0.hasFixedSpacing = true }
    ) { _ throws(SamplingError) in
      try RESSinglestep(order: order)
    }
  }
}
