/// Euler's method on dx̂/dσ̂ = ε, where x̂ = x / alpha and σ̂ = sigma / alpha.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 1 without its correction; k-diffusion's and diffusers' `euler`.
public struct Euler: Solver {
  public init() {}

  public var name: String { "euler" }
  public var order: Int? { 1 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let step = NoiseLevelStep(from: s, to: t)
      let slope = plan.evaluate(.epsilon, at: s)
      plan.step(step.carry * .state + step.slope * slope)
    }
  }
}

/// Heun's method on the same equation: an Euler step, corrected by the slope at its end.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 1. Two evaluations a step, one for a step to sigma 0. The correction
/// is the local error of Euler's step, and is what is reported of each step but one to sigma 0.
public struct Heun: Solver {
  public init() {}

  public var name: String { "heun" }
  public var order: Int? { 2 }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let step = NoiseLevelStep(from: s, to: t)
      let slope = plan.evaluate(.epsilon, at: s)
      let predicted = step.carry * .state + step.slope * slope
      guard !t.isClean else {
        plan.step(predicted)
        continue
      }
      let end = plan.evaluate(.epsilon, at: t, of: plan.stage(predicted))
      plan.estimateError(step.slope / 2 * end - step.slope / 2 * slope)
      plan.step(step.carry * .state + step.slope / 2 * slope + step.slope / 2 * end)
    }
  }
}

/// A step in the noise level σ̂, written for x instead of x̂.
struct NoiseLevelStep {
  let carry: Double
  let slope: Double

  init(from s: TimePoint, to t: TimePoint) {
    carry = t.alpha / s.alpha
    slope = t.alpha * (t.noiseToSignal - s.noiseToSignal)
  }
}

extension Euler {
  static let entries = [
    SolverEntry(
      "euler", aliases: ["EulerDiscreteScheduler"], "Euler's method in sigma / alpha, first order",
      paper: "arXiv:2206.00364", conventions: .noiseLevel
    ) { _ in Euler() }
  ]
}

extension Heun {
  static let entries = [
    SolverEntry(
      "heun", aliases: ["HeunDiscreteScheduler"],
      "Heun's method in sigma / alpha, second order, two evaluations a step", paper: "arXiv:2206.00364",
      conventions: .noiseLevel.with { $0.clipsSamples = true }
    ) { _ in Heun() }
  ]
}
