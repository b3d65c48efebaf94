/// Adams-Bashforth methods on the straight path's dx/dsigma = u, with the weights of the grid. One evaluation a step.
///
/// Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", III.1 and III.5. The velocities
/// remembered are interpolated in sigma, and the last step, to sigma 0, is like the others. So that the start does not
/// lower the order, it is made with Runge-Kutta methods of one order less: the first step of order 3 with the midpoint
/// method, one evaluation more; the first two of order 4 with Ralston's, four more.
public struct FlowAdamsBashforth: Solver {
  /// 2, 3 or 4.
  public let stepOrder: Int

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 2...4.
  public init(order: Int) throws(SamplingError) {
    guard (2...4).contains(order) else {
      throw .invalidOption(name: "the order of Adams-Bashforth", found: "\(order)", expected: "2 to 4")
    }
    stepOrder = order
  }

  public var name: String { "flow-ab\(stepOrder)" }
  public var order: Int? { stepOrder }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireStraightPath(steps)
    let starter = FlowRungeKutta(stepOrder == 4 ? .ralston3 : .midpoint)
    var values: [(velocity: PlanBuilder.Operand, sigma: Double)] = []  // newest first
    for (index, (s, t)) in steps.enumerated() {
      values = [(plan.evaluate(.flow, at: s), s.sigma)] + values.prefix(stepOrder - 1)
      guard index >= stepOrder - 2 else {
        starter.step(from: s, to: t, slope: values[0].velocity, into: &plan)
        continue
      }
      /// The integral of the interpolant through the newest values.
      func increment(_ count: Int) -> PlanExpression {
        let used = values.prefix(count)
        let h = t.sigma - s.sigma
        let weights = lagrangeWeights(used.map { ($0.sigma - s.sigma) / h }, 0)
        return zip(used, weights).reduce(.zero) { $0 + h * $1.1 * $1.0.velocity }
      }
      let update = increment(values.count)
      if values.count > 1 { plan.estimateError(update - increment(values.count - 1)) }
      plan.step(1 * .state + update)
    }
  }
}

extension FlowAdamsBashforth {
  static let entries: [SolverEntry] = [2, 3, 4].map { order in
    SolverEntry(
      "flow-ab\(order)", "Adams-Bashforth of order \(order) in sigma, 5 to 20 steps",
      paper: "Hairer, Nørsett, Wanner 1993", family: .flow, conventions: .flow
    ) { _ throws(SamplingError) in
      try FlowAdamsBashforth(order: order)
    }
  }
}
