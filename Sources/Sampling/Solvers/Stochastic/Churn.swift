import RealModule

/// How much noise EDM's stochastic sampler adds before a step: up to σ̂ (1 + γ), γ = min(amount / N, √2 - 1), where σ̂
/// lies in a range.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 2.
public struct Churn: Hashable, Sendable {
  /// S_churn: about the sum of γ over all steps.
  public let amount: Double
  /// S_tmin to S_tmax, in σ̂ = sigma / alpha.
  public let levels: ClosedRange<Double>
  /// S_noise: multiplies the noise.
  public let noiseScale: Double

  /// As in the paper's experiments on ImageNet.
  public static let imageNet = Churn(amount: 40, levels: 0.05...50, noiseScale: 1.003, isChecked: ())

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an amount or a scale that is negative or not
  ///   finite.
  public init(
    amount: Double, levels: ClosedRange<Double> = 0...Double.infinity, noiseScale: Double = 1
  ) throws(SamplingError) {
    try checkNoise("the amount of churn", amount)
    try checkNoise("the scale of the noise", noiseScale)
    self.init(amount: amount, levels: levels, noiseScale: noiseScale, isChecked: ())
  }

  private init(amount: Double, levels: ClosedRange<Double>, noiseScale: Double, isChecked: Void) {
    self.amount = amount
    self.levels = levels
    self.noiseScale = noiseScale
  }

  /// γ of a step that starts at `point`, of `steps`.
  func rise(at point: TimePoint, steps: Int) -> Double {
    levels.contains(point.noiseToSignal) ? min(amount / Double(steps), 2.0.squareRoot() - 1) : 0
  }
}

/// EDM's stochastic sampler: noise up to a level above the step's start, then Euler's or Heun's method from there.
///
/// Karras et al. 2022, arXiv:2206.00364, algorithm 2. With an ideal model the noise carries one marginal into another,
/// so that the distribution has the order of the method, whatever the churn; a noise scale other than 1, which is to
/// make up for what models lose, breaks that. Where γ is proportional to the step in lambda and beneath its cap, the
/// sampler approaches the reverse SDE of τ² = γ / h, as a splitting of first order. No level lies above the path's
/// highest.
public struct ChurnedSolver: Solver {
  public enum Method: String, Sendable, CaseIterable {
    /// The slope at the raised level. One evaluation a step.
    case euler
    /// As diffusers' EulerDiscreteScheduler takes churn: the model sees the state before its noise, and the output
    /// counts for after. One evaluation a step.
    case publishedEuler
    /// The mean of the slopes at the raised level and at the step's end. Two evaluations a step, one to sigma 0.
    case heun
  }

  public let method: Method
  public let churn: Churn

  public init(_ method: Method, churn: Churn) {
    self.method = method
    self.churn = churn
  }

  public var name: String {
    switch method {
    case .euler: "euler-churn"
    case .publishedEuler: "euler-churn-published"
    case .heun: "edm-heun"
    }
  }

  public var order: Int? { churn.amount == 0 ? (method == .heun ? 2 : 1) : nil }
  public var stochasticOrder: StochasticOrder? { churn.amount == 0 ? nil : StochasticOrder(weak: 1, strong: 1) }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let rise = churn.rise(at: s, steps: steps.count)
      if method == .publishedEuler {
        stepAsPublished(from: s, to: t, rise: rise, into: &plan)
        continue
      }
      let raised = rise > 0 ? steps.point(lambda: s.lambda - .log(onePlus: rise), from: s, to: t) : s
      if rise > 0 {
        let variance = max(difference(raised.noiseToSignal, s.noiseToSignal), 0)
        plan.move(
          raised.alpha / s.alpha * .state
            + churn.noiseScale * raised.alpha * variance.squareRoot() * .noise(from: s, to: t))
      }
      guard !t.isClean else {
        plan.step(t.alpha * plan.evaluate(.sample, at: raised))
        continue
      }
      let step = NoiseLevelStep(from: raised, to: t)
      let slope = plan.evaluate(.epsilon, at: raised)
      let predicted = step.carry * .state + step.slope * slope
      guard method == .heun else {
        plan.step(predicted)
        continue
      }
      let end = plan.evaluate(.epsilon, at: t, of: plan.stage(predicted))
      plan.step(step.carry * .state + step.slope / 2 * slope + step.slope / 2 * end)
    }
  }

  /// diffusers computes x₀ from the noised state and the output at the state before: for ε the slope is the output, for
  /// x₀ the image is, and for v something in between, with the level of before.
  private func stepAsPublished(from s: TimePoint, to t: TimePoint, rise: Double, into plan: inout PlanBuilder) {
    let (start, raised) = (s.noiseToSignal, s.noiseToSignal * (1 + rise))
    let noise = churn.noiseScale * difference(raised, start).squareRoot() * .noise(from: s, to: t)
    let length = t.noiseToSignal - raised
    let carry = t.alpha / s.alpha
    guard plan.prediction != .epsilon else {
      let slope = plan.evaluate(.epsilon, at: s)
      plan.step(carry * .state + t.alpha * noise + t.alpha * length * slope)
      return
    }
    let sample = plan.evaluate(.sample, at: s)
    let share = plan.prediction == .velocity ? 1 / (1 + start * start) : 0
    plan.step(
      carry * (1 + length / raised) * .state - t.alpha * length / raised * sample
        + t.alpha * (1 + length / raised * (1 - share)) * noise)
  }

  /// a² - b².
  private func difference(_ a: Double, _ b: Double) -> Double { (a - b) * (a + b) }
}

extension ChurnedSolver {
  static let entries = [
    entry(.euler, "Euler's method after added noise"),
    entry(.publishedEuler, "Euler's method after noise that the model has not seen, as in diffusers"),
    entry(.heun, "EDM's stochastic sampler: Heun's method after added noise, two evaluations a step"),
  ]

  private static func entry(_ method: Method, _ summary: String) -> SolverEntry {
    let solver = ChurnedSolver(method, churn: .imageNet)
    return SolverEntry(solver.name, summary, paper: "arXiv:2206.00364", conventions: .noiseLevel) { _ in solver }
  }
}
