import RealModule

/// DDPM: ancestral sampling, each step drawn from the posterior of the forward process given the predicted image.
///
/// Ho, Jain and Abbeel 2020, arXiv:2006.11239, eq. 6 and 7 and section 3.2, on any grid of times.
public struct DDPM: Solver {
  /// Which variance the reverse step is given. diffusers' `fixed_small_log` and `fixed_large_log` are the first two,
  /// though the latter is not a number there.
  public enum Variance: String, Sendable, CaseIterable {
    /// β̃, right for data that is a single point.
    case fixedSmall
    /// β, right for standard normal data.
    case fixedLarge
    /// The model's second output is the variance's logarithm, as in the code of Nichol and Dhariwal 2021
    /// (arXiv:2102.09672). diffusers' `learned` takes the root of that logarithm, which is not a number for variances
    /// below 1.
    case learned
    /// The model's second output v in -1...1 says where between β̃ and β the variance's logarithm lies: eq. 15 there.
    case learnedRange
  }

  public let variance: Variance

  public init(variance: Variance = .fixedSmall) {
    self.variance = variance
  }

  public var name: String { "ddpm" }
  public var order: Int? { nil }
  public var stochasticOrder: StochasticOrder? { StochasticOrder(weak: 1, strong: 1) }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    for (s, t) in steps {
      let posterior = AncestralStep(from: s, to: t)
      let (sample, noise) = evaluate(posterior, from: s, to: t, in: &plan)
      // The last image is the posterior's mean: noise added to it would stay.
      plan.step(
        posterior.sampleWeight * sample + posterior.stateWeight * .state + (t.isClean ? .zero : noise))
    }
  }

  /// The predicted image, and noise of the posterior's variance.
  private func evaluate(
    _ posterior: AncestralStep, from s: TimePoint, to t: TimePoint, in plan: inout PlanBuilder
  ) -> (sample: PlanExpression.Operand, noise: PlanExpression) {
    let (small, large) = (posterior.deviation, posterior.forwardVariance.squareRoot())
    switch variance {
    case .fixedSmall: return (plan.evaluate(.sample, at: s), small * .noise(from: s, to: t))
    case .fixedLarge: return (plan.evaluate(.sample, at: s), large * .noise(from: s, to: t))
    case .learned, .learnedRange:
      let (prediction, learned) = plan.evaluateWithVariance(at: s)
      // Deviations' logarithms are halves of variances'.
      let (slope, offset) =
        variance == .learned
        ? (0.5, 0) : (.log(large / small) / 2, (.log(large) + .log(small)) / 2)
      return (
        plan.convert(prediction, to: .sample),
        1 * .noise(from: s, to: t, variance: learned, slope: slope, offset: offset)
      )
    }
  }
}

/// The Gaussian posterior of a less noisy state t, given a noisier one s and the clean image.
struct AncestralStep {
  /// β: the share of the variance at s that the forward step from t added.
  let forwardVariance: Double
  /// √β̃.
  let deviation: Double
  let sampleWeight: Double
  let stateWeight: Double

  init(from s: TimePoint, to t: TimePoint) {
    let ratio = s.alpha / t.alpha
    let noiseRatio = t.sigma * t.sigma / (s.sigma * s.sigma)
    // sigma_s² = ratio² sigma_t² + β holds on every path, variance preserving or not.
    forwardVariance = max(s.sigma * s.sigma - ratio * ratio * t.sigma * t.sigma, 0)
    deviation = (noiseRatio * forwardVariance).squareRoot()
    sampleWeight = t.alpha * forwardVariance / (s.sigma * s.sigma)
    stateWeight = ratio * noiseRatio
  }
}

extension DDPM {
  static let entries = [
    SolverEntry(
      "ddpm", aliases: ["DDPMScheduler"], "ancestral sampling, stochastic, 1000 steps or fewer",
      paper: "arXiv:2006.11239", conventions: .discrete
    ) { _ in DDPM() }
  ]
}
