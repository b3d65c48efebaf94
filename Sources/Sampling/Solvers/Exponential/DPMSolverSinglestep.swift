/// DPM-Solver and DPM-Solver++ as singlestep methods: each step evaluates the model at points of its own.
///
/// Lu et al. 2022, arXiv:2206.00927, algorithms 1 to 4 and appendix B, and arXiv:2211.01095, algorithm 1. A step of
/// order k spans k intervals of the grid and evaluates the model at the first k of their ends, so that N intervals cost
/// N evaluations whatever the order. Where N is no multiple of the order, and before sigma 0, the last steps are of
/// lower order, in the arrangement of diffusers.
public struct DPMSolverSinglestep: Solver {
  /// `.sample` for DPM-Solver++, `.epsilon` for DPM-Solver.
  public let prediction: Prediction
  /// The highest order used: 1, 2 or 3.
  public let stepOrder: Int
  public let variant: DPMSolverMultistep.Variant
  /// Ends with a step of first order, as diffusers does when asked and before sigma 0.
  public let lowersFinalOrder: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...3 or another prediction.
  public init(
    _ prediction: Prediction, order: Int, variant: DPMSolverMultistep.Variant = .midpoint,
    lowersFinalOrder: Bool = false
  ) throws(SamplingError) {
    try checkDPMOptions(prediction, order: order)
    self.prediction = prediction
    self.stepOrder = order
    self.variant = variant
    self.lowersFinalOrder = lowersFinalOrder
  }

  public var name: String {
    "\(prediction == .sample ? "dpm++" : "dpm-solver-")\(stepOrder)\(stepOrder == 1 ? "" : "s")"
  }

  public var order: Int? { stepOrder }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try compile(steps, into: &plan) { ExponentialStep(prediction, from: $0, to: $1) }
  }

  /// Goes every span of the grid from its start to each of its points, with a step of the kind given.
  ///
  /// - Parameter noise: what is drawn for a step from one point to another, the stages of a span within each other.
  func compile<Step: IntegratingStep>(
    _ steps: GridSteps, into plan: inout PlanBuilder, step: (TimePoint, TimePoint) -> Step,
    noise: (Step, TimePoint, TimePoint) -> PlanExpression = { _, _, _ in .zero }
  ) throws(SamplingError) {
    try requireSignal(steps)
    if prediction == .epsilon { try requireNoise(steps) }
    let points = steps.points
    var start = 0
    for span in spans(of: steps.count, endsClean: points[steps.count].isClean) {
      let s = points[start]
      let state = plan.currentState
      var values: [PlanBuilder.Operand] = []
      for stage in 1...span {
        values.append(plan.evaluate(prediction, at: points[start + stage - 1]))
        let t = points[start + stage]
        let step = step(s, t)
        let ratios = (1..<stage).map { (points[start + $0].lambda - s.lambda) / step.h }
        plan.step(
          update(step, from: state, values, ratios: ratios) + noise(step, s, t), keepsNoise: stage < span)
      }
      start += span
    }
  }

  /// The state at the end of `step` from predictions at its start and at the given fractions of it.
  private func update(
    _ step: some IntegratingStep, from state: PlanBuilder.Operand, _ values: [PlanBuilder.Operand], ratios: [Double]
  ) -> PlanExpression {
    // At sigma 0 the state is the prediction of x₀, of which the newest is the best.
    guard step.h.isFinite else { return step.carry * state + step.weight(1) * values[values.count - 1] }
    var update = step.carry * state + step.weight(1) * values[0]
    guard let last = ratios.last else { return update }
    let slope = 1 / last * (1 * values[values.count - 1] - 1 * values[0])
    if ratios.count == 1 {
      update = update + (variant == .midpoint ? step.weight(1) / 2 : step.weight(2)) * slope
    } else if variant == .midpoint {
      update = update + step.weight(2) * slope
    } else {
      let earlier = 1 / ratios[0] * (1 * values[1] - 1 * values[0])
      let width = last - ratios[0]
      let first = last / width * earlier - ratios[0] / width * slope
      let second = 2 / width * (slope - earlier)
      update = update + step.weight(2) * first + step.weight(3) * second
    }
    return update
  }

  /// How many intervals each step spans.
  private func spans(of count: Int, endsClean: Bool) -> [Int] {
    var spans = Array(repeating: stepOrder, count: count / stepOrder)
    let rest = count % stepOrder
    let lowers = lowersFinalOrder || endsClean
    guard rest != 0 || lowers else { return spans }
    if rest == 0, stepOrder > 1 {
      spans.removeLast()
      spans += [stepOrder - 1, 1]
    } else if rest != 0 {
      spans.append(rest)
    }
    return spans
  }
}

extension DPMSolverSinglestep {
  static let entries = [
    entry(.epsilon, order: 1), entry(.epsilon, order: 2), entry(.epsilon, order: 3),
    entry(.sample, order: 2, aliases: ["DPMSolverSinglestepScheduler"]), entry(.sample, order: 3),
  ]

  private static func entry(_ prediction: Prediction, order: Int, aliases: [String] = []) -> SolverEntry {
    SolverEntry(
      prediction == .sample ? "dpm++\(order)s" : order == 1 ? "dpm-solver-1" : "dpm-solver-\(order)s",
      aliases: aliases, "singlestep, order \(order), N evaluations for N steps",
      paper: prediction == .sample ? "arXiv:2211.01095" : "arXiv:2206.00927",
      conventions: .multistep.with {
        $0.hasFixedSpacing = true
        $0.end = prediction == .sample ? .clean : .leastNoise
      }
    ) { _ throws(SamplingError) in
      try DPMSolverSinglestep(prediction, order: order)
    }
  }
}
