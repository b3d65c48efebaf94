/// Euler's method down to a level below the target's, then noise up to it.
///
/// k-diffusion's and diffusers' `euler_ancestral`. In x₀ it is the first-order step of the reverse SDE, and with eta 1
/// the posterior of Ho et al. 2020, arXiv:2006.11239, eq. 7.
public struct EulerAncestral: Solver {
  private let noise: AncestralNoise

  /// How much of the noise is fresh: 0 is Euler's method, 1 the reverse diffusion.
  public var eta: Double { noise.eta }
  /// Multiplies the noise; 1 keeps the marginals.
  public var noiseScale: Double { noise.scale }

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1 and the noise is not
  ///   negative.
  public init(eta: Double = 1, noiseScale: Double = 1) throws(SamplingError) {
    noise = try AncestralNoise(eta: eta, scale: noiseScale)
  }

  public var name: String { "euler-ancestral" }
  public var order: Int? { eta == 0 ? 1 : nil }
  public var stochasticOrder: StochasticOrder? { eta == 0 ? nil : StochasticOrder(weak: 1, strong: 1) }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let step = noise.step(from: s, to: t)
      let sample = plan.evaluate(.sample, at: s)
      plan.step(step.carry * .state + step.weight(1) * sample + noise.draw(step, from: s, to: t))
    }
  }
}

/// A second-order step of the probability-flow ODE down to a level below the target's, then noise up to it.
///
/// With an ideal model either half carries the marginals into each other, so that the distribution is of second order
/// for any eta. As a scheme for the SDE of a model that is none's ideal it is a splitting, of first order. The second
/// evaluation lies half way down in lambda: for eta 1 at the target's own noise level. Two evaluations a step, one for
/// a step to sigma 0.
public struct SecondOrderAncestral: Solver {
  public enum Method: String, Sendable, CaseIterable {
    /// The midpoint method in σ̂ and ε: k-diffusion's `dpm_2_ancestral`, diffusers' KDPM2AncestralDiscreteScheduler,
    /// after Lu et al. 2022, arXiv:2206.00927, algorithm 1.
    case dpm2
    /// DPM-Solver++(2S), Lu et al. 2022, arXiv:2211.01095, algorithm 1: k-diffusion's `dpmpp_2s_ancestral`.
    case dpmPlusPlus2S
  }

  public let method: Method
  private let noise: AncestralNoise
  /// How much of the noise is fresh.
  public var eta: Double { noise.eta }
  /// Multiplies the noise; 1 keeps the marginals.
  public var noiseScale: Double { noise.scale }

  /// - Parameters:
  ///   - eta: how much of the noise is fresh.
  ///   - noiseScale: multiplies the noise; 1 keeps the marginals.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1 and the noise is not
  ///   negative.
  public init(_ method: Method, eta: Double = 1, noiseScale: Double = 1) throws(SamplingError) {
    noise = try AncestralNoise(eta: eta, scale: noiseScale)
    self.method = method
  }

  public var name: String { method == .dpm2 ? "dpm2-ancestral" : "dpm++2s-ancestral" }
  public var order: Int? { eta == 0 ? 2 : nil }
  public var stochasticOrder: StochasticOrder? { eta == 0 ? nil : StochasticOrder(weak: 1, strong: 1) }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let step = noise.step(from: s, to: t)
      let first = plan.evaluate(.sample, at: s)
      guard !t.isClean else {
        plan.step(step.carry * .state + step.weight(1) * first)
        continue
      }
      let middle = steps.point(lambda: s.lambda + step.descent / 2, from: s, to: t)
      let half = ExponentialStep(.sample, from: s, to: middle)
      let stage = plan.stage(half.carry * .state + half.weight(1) * first)
      let fresh = noise.draw(step, from: s, to: t)
      switch method {
      case .dpmPlusPlus2S:
        let sample = plan.evaluate(.sample, at: middle, of: stage)
        plan.step(step.carry * .state + step.weight(1) * sample + fresh)
      case .dpm2:
        let slope = plan.evaluate(.epsilon, at: middle, of: stage)
        // alpha_t (σ̂_d - σ̂_s), and σ̂_s - σ̂_d is σ̂_s times the weight of x₀.
        plan.step(t.alpha / s.alpha * .state - s.noiseToSignal * step.weight(1) * slope + fresh)
      }
    }
  }
}

extension EulerAncestral {
  static let entries = [
    SolverEntry(
      "euler-ancestral", aliases: ["EulerAncestralDiscreteScheduler"], "Euler's method with fresh noise, first order",
      paper: "arXiv:2006.11239", conventions: .noiseLevel
    ) { _ throws(SamplingError) in try EulerAncestral() }
  ]
}

extension SecondOrderAncestral {
  static let entries = [
    SolverEntry(
      "dpm2-ancestral", aliases: ["KDPM2AncestralDiscreteScheduler"],
      "midpoint method with fresh noise, two evaluations a step", paper: "arXiv:2206.00927", conventions: .noiseLevel
    ) { _ throws(SamplingError) in try SecondOrderAncestral(.dpm2) },
    SolverEntry(
      "dpm++2s-ancestral", "DPM-Solver++(2S) with fresh noise, two evaluations a step", paper: "arXiv:2211.01095",
      conventions: .noiseLevel
    ) { _ throws(SamplingError) in try SecondOrderAncestral(.dpmPlusPlus2S) },
  ]
}
