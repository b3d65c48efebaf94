/// DPM2: the midpoint method in σ̂ = sigma / alpha, with the midpoint where the grid has a point inside the step.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn, as in k-diffusion and in diffusers'
/// `KDPM2DiscreteScheduler`, which put the middle at the mean of log σ̂: near enough to that of σ̂ for second order. A step
/// spans two intervals of the grid, so that N intervals cost N evaluations, and ``StageGrid`` with the fraction 1/2 makes
/// such a grid; a step to sigma 0 spans one and is Euler's.
public struct DPM2: Solver {
  public init() {}

  public var name: String { "dpm2" }
  public var order: Int? { 2 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    let points = steps.points
    var start = 0
    while start < steps.count {
      let s = points[start]
      let state = plan.currentState
      let slope = plan.evaluate(.epsilon, at: s)
      let first = NoiseLevelStep(from: s, to: points[start + 1])
      plan.step(first.carry * state + first.slope * slope)
      start += 1
      guard start < steps.count, !points[start + 1].isClean else { continue }
      let (middle, t) = (points[start], points[start + 1])
      let whole = NoiseLevelStep(from: s, to: t)
      let inner = plan.evaluate(.epsilon, at: middle)
      plan.estimateError(whole.slope * inner - whole.slope * slope)
      plan.step(whole.carry * state + whole.slope * inner)
      start += 1
    }
  }
}

extension DPM2 {
  static let entries = [
    SolverEntry(
      "dpm2", aliases: ["KDPM2DiscreteScheduler"],
      "midpoint method in sigma / alpha, second order, N evaluations for N steps", paper: "arXiv:2206.00364",
      conventions: .noiseLevel
    ) { _ in DPM2() }
  ]
}
