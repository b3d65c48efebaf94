/// A Runge-Kutta method on the straight path's dx/dsigma = u, u the flow velocity ε - x₀.
///
/// Liu et al. 2022, arXiv:2209.03003, and the method's own source. As many evaluations a step as there are stages. A
/// step to sigma 0, where a model has nothing to predict, is taken with a method that does not look there.
public struct FlowRungeKutta: Solver {
  public let tableau: ButcherTableau

  public init(_ tableau: ButcherTableau) {
    self.tableau = tableau
  }

  public var name: String { "flow-\(tableau.name)" }
  public var order: Int? { tableau.order }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireStraightPath(steps)
    for (s, t) in steps {
      step(from: s, to: t, slope: plan.evaluate(.flow, at: s), into: &plan)
    }
  }

  /// One step, of which the first stage's velocity is known.
  func step(from s: TimePoint, to t: TimePoint, slope: PlanBuilder.Operand, into plan: inout PlanBuilder) {
    let tableau = t.isClean ? forLastStep : tableau
    let h = t.sigma - s.sigma
    var slopes = [slope]
    func sum(_ weights: [Double]) -> PlanExpression {
      zip(weights, slopes).reduce(.zero) { $0 + h * $1.0 * $1.1 }
    }
    for (row, node) in zip(tableau.rows, tableau.nodes).dropFirst() {
      slopes.append(plan.evaluate(.flow, at: s.towards(t, node), of: plan.stage(1 * .state + sum(row))))
    }
    if let embedded = tableau.embedded {
      plan.estimateError(sum(zip(tableau.weights, embedded.weights).map { $0 - $1 }))
    }
    plan.step(1 * .state + sum(tableau.weights))
  }

  /// The method itself where its stages stay inside; the best that do, where they do not.
  private var forLastStep: ButcherTableau {
    if tableau.staysInside { return tableau }
    return tableau.order > 2 ? .ralston3 : .euler
  }
}

extension TimePoint {
  /// The point of a straight path at a fraction of the way to another.
  func towards(_ end: TimePoint, _ fraction: Double) -> TimePoint {
    switch fraction {
    case 0: self
    case 1: end
    default:
      TimePoint(
        timestep: timestep + fraction * (end.timestep - timestep), alpha: alpha + fraction * (end.alpha - alpha),
        sigma: sigma + fraction * (end.sigma - sigma))
    }
  }
}

extension FlowRungeKutta {
  static let entries = [
    entry(.euler, "Euler's method, first order, 4 to 20 steps", aliases: ["FlowMatchEulerDiscreteScheduler"]),
    entry(.midpoint, "midpoint method, second order, two evaluations a step"),
    entry(
      .heun, "Heun's method, second order, two evaluations a step", aliases: ["FlowMatchHeunDiscreteScheduler"]),
    entry(.ralston3, "Ralston's method, third order, three evaluations a step"),
    entry(.rungeKutta4, "the classical Runge-Kutta method, fourth order, four evaluations a step"),
  ]

  private static func entry(_ tableau: ButcherTableau, _ summary: String, aliases: [String] = []) -> SolverEntry {
    flowEntry(FlowRungeKutta(tableau), summary, aliases: aliases)
  }
}

/// The entry of a solver for straight paths.
func flowEntry(_ solver: some Solver, _ summary: String, aliases: [String] = []) -> SolverEntry {
  SolverEntry(
    solver.name, aliases: aliases, summary, paper: "arXiv:2209.03003, arXiv:2210.02747", family: .flow,
    conventions: .flow
  ) { _ in solver }
}

extension Solver {
  /// Refuses paths on which the flow velocity is not dx/dsigma.
  func requireStraightPath(_ steps: GridSteps) throws(SamplingError) {
    if let point = steps.points.first(where: { abs($0.alpha + $0.sigma - 1) > 1e-9 }) {
      throw .incompatible(
        solver: name,
        reason: "it needs a rectified-flow model, and alpha + sigma is \(point.alpha + point.sigma) "
          + "at timestep \(point.timestep)")
    }
  }
}
