/// Euler's method on the straight path's dx/dsigma = u, u the flow velocity ε - x₀.
///
/// Liu et al. 2022, arXiv:2209.03003. One evaluation a step.
public struct FlowEuler: Solver {
  public init() {}

  public var name: String { "flow-euler" }
  public var order: Int? { 1 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireStraightPath(steps)
    for (s, t) in steps {
      let slope = plan.evaluate(.flow, at: s)
      plan.step(1 * .state + (t.sigma - s.sigma) * slope)
    }
  }
}

/// The explicit midpoint method on the same equation: the slope half way counts. Two evaluations a step.
///
/// Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", II.1.
public struct FlowMidpoint: Solver {
  public init() {}

  public var name: String { "flow-midpoint" }
  public var order: Int? { 2 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireStraightPath(steps)
    for (s, t) in steps {
      let middle = TimePoint(
        timestep: (s.timestep + t.timestep) / 2, alpha: (s.alpha + t.alpha) / 2, sigma: (s.sigma + t.sigma) / 2)
      let start = plan.evaluate(.flow, at: s)
      let half = plan.stage(1 * .state + (middle.sigma - s.sigma) * start)
      let slope = plan.evaluate(.flow, at: middle, of: half)
      plan.step(1 * .state + (t.sigma - s.sigma) * slope)
    }
  }
}

/// Heun's method on the same equation: the mean of the slopes at both ends. Two evaluations a step, one for a step to
/// sigma 0, where a model has nothing to predict.
public struct FlowHeun: Solver {
  public init() {}

  public var name: String { "flow-heun" }
  public var order: Int? { 2 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireStraightPath(steps)
    for (s, t) in steps {
      let h = t.sigma - s.sigma
      let start = plan.evaluate(.flow, at: s)
      guard !t.isClean else {
        plan.step(1 * .state + h * start)
        continue
      }
      let end = plan.evaluate(.flow, at: t, of: plan.stage(1 * .state + h * start))
      plan.step(1 * .state + h / 2 * start + h / 2 * end)
    }
  }
}

extension FlowEuler {
  static let entries = [
    flowEntry(FlowEuler(), "Euler's method, first order, 4 to 20 steps", aliases: ["FlowMatchEulerDiscreteScheduler"])
  ]
}

extension FlowMidpoint {
  static let entries = [flowEntry(FlowMidpoint(), "midpoint method, second order, two evaluations a step")]
}

extension FlowHeun {
  static let entries = [
    flowEntry(
      FlowHeun(), "Heun's method, second order, two evaluations a step", aliases: ["FlowMatchHeunDiscreteScheduler"])
  ]
}

/// The entry of a solver for straight paths that has no options.
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
