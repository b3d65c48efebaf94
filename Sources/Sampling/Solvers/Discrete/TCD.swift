import RealModule

/// TCD: trajectory consistency sampling. A step goes past its end, to a share 1 - γ of the end's time, and noises up
/// again.
///
/// Zheng et al. 2024, arXiv:2402.19159, algorithm 4 (strategic stochastic sampling). γ 0 is DDIM, γ 1 noises a clean
/// guess as LCM does. The last step adds no noise and ends where the ones before it pass: at a share 1 - γ of the end's
/// time.
public struct TCD: Solver, Hashable {
  /// The paper's γ, diffusers' `eta`.
  public let gamma: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless gamma lies in 0...1.
  public init(gamma: Double = 0.3) throws(SamplingError) {
    guard (0...1).contains(gamma) else {
      throw .invalidOption(name: "gamma", found: "\(gamma)", expected: "0 to 1")
    }
    self.gamma = gamma
  }

  public var name: String { "tcd" }
  public var order: Int? { gamma == 0 ? 1 : nil }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (index, (s, t)) in steps.enumerated() {
      let output = plan.evaluate(at: s)
      let sample = plan.convert(output, to: .sample)
      let epsilon = plan.convert(output, to: .epsilon)
      guard !t.isClean, gamma > 0 else {
        plan.step(t.alpha * sample + t.sigma * epsilon)
        continue
      }
      // Whole timesteps, as the models were distilled on.
      let low = steps.point(at: ((1 - gamma) * t.timestep).rounded(.down))
      if index == steps.count - 1 {
        plan.step(low.alpha * sample + low.sigma * epsilon)
        continue
      }
      let ratio = t.alpha / low.alpha
      let fresh = max(t.sigma * t.sigma - ratio * ratio * low.sigma * low.sigma, 0).squareRoot()
      plan.step(t.alpha * sample + ratio * low.sigma * epsilon + fresh * .noise)
    }
  }
}

extension TCD {
  static let entries = [
    SolverEntry(
      "tcd", aliases: ["TCDScheduler"], "trajectory consistency models, stochastic, 2 to 8 steps",
      paper: "arXiv:2402.19159", conventions: .distilled.with { $0.end = .leastNoise }
    ) { _ throws(SamplingError) in try TCD() }
  ]
}
