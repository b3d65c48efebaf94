/// Sampling with a consistency model: its guess of the clean image, noised again to the next level with fresh noise.
///
/// Song et al. 2023, arXiv:2303.01469, algorithm 1; Luo et al. 2023 (LCM), arXiv:2310.04378, section 4.3. On the
/// straight path, with no scaling, it is stochastic sampling of a flow. The model's output is taken for part of the
/// guess: see ``ConsistencyScaling``.
public struct ConsistencySteps: Solver, Hashable {
  public let scaling: ConsistencyScaling
  public let name: String

  public init(_ scaling: ConsistencyScaling, name: String = "consistency") {
    self.scaling = scaling
    self.name = name
  }

  public var order: Int? { nil }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    for (s, t) in steps {
      let state = plan.currentState
      let (skip, out) = scaling.weights(at: s)
      let clean: PlanExpression
      if case .karras = scaling {
        // The network's output is no image: what is kept in range is the guess.
        clean = 1 * plan.boundedSample(skip * state + out * plan.evaluate(at: s).operand)
      } else {
        clean = skip * state + out * plan.evaluate(.sample, at: s)
      }
      plan.step(t.alpha * clean + scaling.noise(at: t) * .noise)
    }
  }
}

/// How a consistency model's guess is made of its input and its output, so that it is the input itself where there is
/// no noise: skip × input + out × output.
public enum ConsistencyScaling: Hashable, Sendable {
  /// The output is the guess.
  case none
  /// LCM's: with u the timestep times `timestepScaling`, skip = d² / (u² + d²) and out = u / √(u² + d²).
  case latent(timestepScaling: Double, deviation: Double)
  /// That of consistency models on EDM's path, arXiv:2303.01469, appendix C: with u = sigma - `leastSigma`,
  /// skip = d² / (u² + d²) and out = u d / √(sigma² + d²). The output is the network's, taken for a sample prediction.
  case karras(leastSigma: Double, deviation: Double)

  /// As LCM was trained on Stable Diffusion.
  public static let latentConsistency = ConsistencyScaling.latent(timestepScaling: 10, deviation: 0.5)
  /// As the published consistency models were trained.
  public static let consistencyModel = ConsistencyScaling.karras(leastSigma: 0.002, deviation: 0.5)

  func weights(at point: TimePoint) -> (skip: Double, out: Double) {
    switch self {
    case .none: return (0, 1)
    case .latent(let timestepScaling, let deviation):
      let time = point.timestep * timestepScaling
      let variance = time * time + deviation * deviation
      return (deviation * deviation / variance, time / variance.squareRoot())
    case .karras(let leastSigma, let deviation):
      let rise = point.sigma - leastSigma
      let variance = point.sigma * point.sigma + deviation * deviation
      return (
        deviation * deviation / (rise * rise + deviation * deviation), rise * deviation / variance.squareRoot()
      )
    }
  }

  /// The noise that a guess is given for the next evaluation at `point`: consistency models call their least noise
  /// clean.
  func noise(at point: TimePoint) -> Double {
    guard case .karras(let leastSigma, _) = self else { return point.sigma }
    return max(point.sigma * point.sigma - leastSigma * leastSigma, 0).squareRoot()
  }
}

extension ConsistencySteps {
  static let entries = [
    SolverEntry(
      "lcm", aliases: ["LCMScheduler"], "latent consistency models, stochastic, 1 to 8 steps",
      paper: "arXiv:2310.04378", conventions: .distilled
    ) { _ in ConsistencySteps(.latentConsistency, name: "lcm") },
    SolverEntry(
      "flow-renoise", aliases: ["FlowMatchLCMScheduler"],
      "the flow's guess of the image, noised again; stochastic, for distilled models", paper: "arXiv:2303.01469",
      family: .flow, conventions: .flow
    ) { _ in ConsistencySteps(.none, name: "flow-renoise") },
  ]
}
