/// DPM2: the midpoint method in σ̂ = sigma / alpha.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn, as in k-diffusion and in diffusers'
/// `KDPM2DiscreteScheduler`, which put the middle at the mean of log σ̂: near enough to that of σ̂ for second order.
/// Two evaluations a step, one for a step to sigma 0, which is Euler's.
public struct DPM2: Solver {
  public init() {}

  public var name: String { "dpm2" }
  public var order: Int? { 2 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let whole = NoiseLevelStep(from: s, to: t)
      let slope = plan.evaluate(.epsilon, at: s)
      guard !t.isClean else {
        plan.step(whole.carry * .state + whole.slope * slope)
        continue
      }
      let middle = steps.point(lambda: (s.lambda + t.lambda) / 2, from: s, to: t)
      let half = NoiseLevelStep(from: s, to: middle)
      let stage = plan.stage(half.carry * .state + half.slope * slope)
      let inner = plan.evaluate(.epsilon, at: middle, of: stage)
      plan.estimateError(whole.slope * inner - whole.slope * slope)
      plan.step(whole.carry * .state + whole.slope * inner)
    }
  }
}

extension DPM2 {
  static let entries = [
    SolverEntry(
      "dpm2", aliases: ["KDPM2DiscreteScheduler"],
      "midpoint method in sigma / alpha, second order, two evaluations a step",
      paper: "arXiv:2206.00364", conventions: .noiseLevel
    ) { _ in DPM2() }
  ]
}
