/// DDIM: the predicted clean image is noised again to the next level, part of the noise being fresh.
///
/// Song, Meng and Ermon 2021, arXiv:2010.02502, eq. 12 and 16. With `eta` 0 it is deterministic and the first-order
/// exponential integrator of the probability-flow ODE; with `eta` 1 it is DDPM's ancestral sampling.
public struct DDIM: Solver {
  public let eta: Double
  /// Takes ε from the state and the clean image once that is in range, not from the model: diffusers'
  /// `use_clipped_model_output`. It makes a difference to a plan with a bound.
  public let followsBound: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1.
  public init(eta: Double, followsBound: Bool = false) throws(SamplingError) {
    guard (0...1).contains(eta) else { throw .invalidOption(name: "eta", found: "\(eta)", expected: "0 to 1") }
    self.eta = eta
    self.followsBound = followsBound
  }

  /// Without fresh noise.
  public init() {
    (eta, followsBound) = (0, false)
  }

  public var name: String { "ddim" }
  public var order: Int? { eta == 0 ? 1 : nil }
  /// On the SDE of τ = eta.
  public var stochasticOrder: StochasticOrder? { eta == 0 ? nil : StochasticOrder(weak: 1, strong: 1) }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    for (s, t) in steps {
      let output = plan.evaluate(at: s)
      let sample = plan.convert(output, to: .sample)
      let epsilon: PlanExpression =
        followsBound
        ? 1 / s.sigma * .state - s.alpha / s.sigma * sample : 1 * plan.convert(output, to: .epsilon)
      let fresh = eta * AncestralStep(from: s, to: t).deviation
      let kept = max(t.sigma * t.sigma - fresh * fresh, 0).squareRoot()
      plan.step(t.alpha * sample + kept * epsilon + fresh * .noise(from: s, to: t))
    }
  }
}

extension DDIM {
  static let entries = [
    SolverEntry(
      "ddim", aliases: ["DDIMScheduler"], "deterministic, first order, 20 to 50 steps", paper: "arXiv:2010.02502",
      conventions: .discrete.with { $0.end = nil }
    ) { _ in DDIM() }
  ]
}
