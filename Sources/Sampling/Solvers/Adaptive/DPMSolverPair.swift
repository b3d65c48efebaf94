/// DPM-Solver-12 and DPM-Solver-23: two singlestep exponential integrators that share their evaluations.
///
/// Lu et al. 2022, arXiv:2206.00927, section 3.3 and appendix C; in the prediction x₀ the pairs of DPM-Solver++,
/// arXiv:2211.01095. The stages lie in the middle of the step for the pair of orders 1 and 2, and at one and two thirds
/// of it for that of 2 and 3. The better result is kept, as in the authors' program.
public struct DPMSolverPair: EmbeddedPair, Hashable {
  /// `.sample` for DPM-Solver++, `.epsilon` for DPM-Solver.
  public let prediction: Prediction
  /// 2 or 3.
  public let order: Int

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order other than 2 and 3, or another
  ///   prediction.
  public init(_ prediction: Prediction, order: Int) throws(SamplingError) {
    try checkDPMOptions(prediction, order: order)
    guard order > 1 else {
      throw .invalidOption(name: "the order of an adaptive DPM-Solver", found: "\(order)", expected: "2 or 3")
    }
    self.prediction = prediction
    self.order = order
  }

  public var name: String { "\(prediction == .sample ? "dpm++" : "dpm")-adaptive-\(lowerOrder)\(order)" }
  public var lowerOrder: Int { order - 1 }
  public var stages: Int { order }
  public var reusesLastStage: Bool { false }
  public var clock: StepClock { .lambda }
  public var tolerancePerStep: Double { order == 2 ? 1.5 : prediction == .sample ? 4 : 3 }

  public func check(from s: TimePoint, to t: TimePoint) throws(SamplingError) {
    guard s.alpha > 0 else {
      throw .incompatible(solver: name, reason: "it works in log alpha, which does not exist at timestep \(s.timestep)")
    }
  }

  public func step(from s: TimePoint, to t: TimePoint, on path: any NoisePath, into plan: inout PlanBuilder) {
    let state = plan.currentState
    let whole = ExponentialStep(prediction, from: s, to: t)
    func point(_ fraction: Double) -> TimePoint { path.point(lambda: s.lambda + fraction * whole.h) }
    let start = plan.evaluate(prediction, at: s)
    let ratio = order == 2 ? 0.5 : 1 / 3.0
    let part = ExponentialStep(prediction, from: s, to: point(ratio))
    let first = plan.evaluate(
      prediction, at: point(ratio), of: plan.stage(part.carry * state + part.weight(1) * start))
    let base = whole.carry * state + whole.weight(1) * start
    // h f′ from the values at the start and after the first part.
    let slope = 1 / ratio * (1 * first - 1 * start)
    let correction = whole.weight(1) / 2 * slope
    guard order == 3 else {
      plan.estimateError(correction)
      plan.move(base + correction)
      return
    }
    let most = ExponentialStep(prediction, from: s, to: point(2 * ratio))
    let second = plan.evaluate(
      prediction, at: point(2 * ratio),
      of: plan.stage(most.carry * state + most.weight(1) * start + 2 * ratio * most.weight(2) * slope))
    let better = whole.weight(2) / (2 * ratio) * (1 * second - 1 * start)
    // The x₀ form's estimate is the second difference alone: φ₁/2 would add a part of the slope that can cancel it.
    plan.estimateError(better - (prediction == .sample ? whole.weight(2) * slope : correction))
    plan.move(base + better)
  }
}
