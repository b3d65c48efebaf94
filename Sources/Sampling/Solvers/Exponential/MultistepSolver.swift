/// A solver that evaluates the model once a step, where the step starts, and remembers what it evaluated before.
///
/// The order rises from 1 as there is more to remember. All that differs between solvers is
/// ``update(_:)``; how they start and end, what they report as their error, and whether a corrector follows
/// (``Corrected``) is here.
public protocol MultistepSolver: Solver {
  /// What it remembers.
  var prediction: Prediction { get }

  /// The highest order used, which is the number of evaluations remembered.
  var stepOrder: Int { get }

  /// Lowers the order of the last steps ... 3, 2, 1, each to the number of steps that are left with it.
  var lowersFinalOrder: Bool { get }

  /// Makes the last step one of first order.
  var eulerAtFinal: Bool { get }

  /// Takes the second step again, from the first point, with what was evaluated at its end: the error of the first
  /// step, which is of first order, would otherwise leave every method at order 2.
  var retakesSecondStep: Bool { get }

  /// Whether a step to sigma 0 is like any other. Where it is not, it is of first order: lambda is infinite there.
  var extrapolatesToClean: Bool { get }

  /// The state at the end of `step`.
  func update(_ step: MultistepStep) -> PlanExpression

}

/// One step of a ``MultistepSolver``.
public struct MultistepStep: Sendable {
  /// An evaluation that is remembered.
  public struct Value: Sendable {
    public let operand: PlanExpression.Operand
    public let point: TimePoint
  }

  public let start: TimePoint
  public let end: TimePoint
  /// The state at the start.
  public let state: PlanExpression.Operand
  /// The order that this step is to have.
  public let order: Int
  /// At the start first, then the newest first, at least as many as the order.
  public let values: [Value]
  /// Whether this is the second step, taken again from the first point: then the second value lies inside it.
  public let isRetaken: Bool

  /// The same step one order lower.
  public var lowered: MultistepStep {
    MultistepStep(start: start, end: end, state: state, order: order - 1, values: values, isRetaken: isRetaken)
  }

  /// The exponential Adams method: the values that the order needs, interpolated in lambda, and their integral.
  ///
  /// - Parameter last: a value at the end, for a corrector and for estimating the error.
  func interpolated(_ prediction: Prediction, through last: PlanExpression.Operand? = nil) -> PlanExpression {
    ExponentialStep(prediction, from: start, to: end).interpolating(
      values.prefix(order) + [last.map { Value(operand: $0, point: end) }].compactMap(\.self), from: state)
  }
}

extension MultistepSolver {
  public var lowersFinalOrder: Bool { false }
  public var eulerAtFinal: Bool { false }
  public var retakesSecondStep: Bool { false }
  public var extrapolatesToClean: Bool { false }

  /// The local error of `step`, known once the model has been evaluated at its end, as the next step needs anyway: what
  /// the exponential Adams-Moulton method through that value, of one order more, would have added.
  ///
  /// The difference to the order below, which is known before the step, is larger by an order and says little about the
  /// result that is kept: on mixtures it ranks images worse, and those of third order not at all.
  func errorEstimate(_ step: MultistepStep, next: PlanExpression.Operand) -> PlanExpression? {
    step.start.alpha > 0 ? step.interpolated(prediction, through: next) - update(step) : nil
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try compile(steps, into: &plan, corrector: nil)
  }

  func compile(
    _ steps: GridSteps, into plan: inout PlanBuilder, corrector: Corrector?
  ) throws(SamplingError) {
    try requireSignal(steps, exceptAtStart: true)
    if prediction != .sample, !extrapolatesToClean { try requireNoise(steps) }
    let first = (point: steps.points[0], state: plan.currentState)
    let output = plan.evaluate(at: first.point)
    var values = [MultistepStep.Value(operand: plan.convert(output, to: prediction), point: first.point)]
    for (index, (s, t)) in steps.enumerated() {
      let isLast = index == steps.count - 1
      var order = min(stepOrder, values.count)
      if lowersFinalOrder { order = min(order, steps.count - index) }
      if isLast && eulerAtFinal || t.isClean && !extrapolatesToClean { order = 1 }
      let retakes = retakesSecondStep && index == 1 && order == 2 && first.point.alpha > 0
      let step = MultistepStep(
        start: retakes ? first.point : s, end: t, state: retakes ? first.state : plan.currentState, order: order,
        values: retakes ? values.reversed() : values, isRetaken: retakes)
      let update: PlanExpression
      if s.alpha == 0, prediction != .sample {
        // In ε the start divides by alpha. With x₀ and ε taken for constant it does not, and the two are the same.
        update = t.alpha * plan.convert(output, to: .sample) + t.sigma * values[0].operand
      } else {
        update = self.update(step)
      }

      if let corrector, !isLast, corrector.corrects(index, step) {
        let predicted = plan.stage(update)
        let next = plan.evaluate(prediction, at: t, of: predicted)
        let corrected = corrector.update(step, next)
        plan.estimateError(corrected - 1 * predicted)
        plan.step(corrected)
        values.insert(.init(operand: next, point: t), at: 0)
      } else {
        plan.step(update)
        if !isLast {
          let next = plan.evaluate(prediction, at: t)
          if let estimate = errorEstimate(step, next: next) { plan.estimateError(estimate, ofLastStep: true) }
          values.insert(.init(operand: next, point: t), at: 0)
        }
      }
      values = Array(values.prefix(stepOrder))
    }
  }
}
