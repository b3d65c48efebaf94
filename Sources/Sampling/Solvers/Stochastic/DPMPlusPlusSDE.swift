/// DPM++ SDE: the reverse SDE by a step of two stages, the second half way in lambda.
///
/// k-diffusion's `dpmpp_sde` with r = 1/2 and diffusers' DPMSolverSDEScheduler, after Lu et al. 2022, arXiv:2211.01095.
/// Both stages see one Brownian path. Its clock is e^(2 lambda), on which the stage's noise is the part of the step's
/// that the SDE has it be; theirs runs on sigma, which comes to the same as steps get short. Two evaluations a step,
/// one for a step to sigma 0.
public struct DPMPlusPlusSDE: Solver {
  private let noise: AncestralNoise

  /// How much of the noise is fresh, as in ancestral samplers.
  public var eta: Double { noise.eta }
  /// Multiplies the noise; 1 keeps the marginals.
  public var noiseScale: Double { noise.scale }

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1 and the noise is not
  ///   negative.
  public init(eta: Double = 1, noiseScale: Double = 1) throws(SamplingError) {
    noise = try AncestralNoise(eta: eta, scale: noiseScale)
  }

  public var name: String { "dpm++sde" }
  public var order: Int? { eta == 0 ? 2 : nil }
  public var stochasticOrder: StochasticOrder? {
    // Between 0 and 1 the amount of noise approaches its limit at first order.
    eta == 0 ? nil : StochasticOrder(weak: eta == 1 ? 2 : 1, strong: 1)
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let step = noise.step(from: s, to: t)
      var sample = plan.evaluate(.sample, at: s)
      if !t.isClean {
        let middle = steps.point(lambda: (s.lambda + t.lambda) / 2, from: s, to: t)
        let half = noise.step(from: s, to: middle)
        let stage = plan.stage(
          half.carry * .state + half.weight(1) * sample + noise.draw(half, from: s, to: middle))
        sample = plan.evaluate(.sample, at: middle, of: stage)
      }
      plan.step(step.carry * .state + step.weight(1) * sample + noise.draw(step, from: s, to: t))
    }
  }
}

extension DPMPlusPlusSDE {
  static let entries = [
    SolverEntry(
      "dpm++sde", aliases: ["DPMSolverSDEScheduler"],
      "reverse SDE, second order, two evaluations a step, 10 to 25 steps", paper: "arXiv:2211.01095",
      conventions: .noiseLevel
    ) { _ throws(SamplingError) in try DPMPlusPlusSDE() }
  ]
}
