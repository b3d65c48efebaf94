import RealModule

/// ER-SDE-Solvers: the reverse SDE with a noise of one's choice, multistep in σ̂ = sigma / alpha, one evaluation a
/// step.
///
/// Cui et al. 2023, arXiv:2309.06169. With y = x / alpha and any noise scale φ(σ̂), φ / σ̂ not falling, the SDE has
///
///     y_t = r y_s + ∫ D d(1 / φ) φ_t + √(σ̂_t² - r² σ̂_s²) z,   r = φ_t / φ_s
///
/// D, the clean image, is expanded in σ̂ about the step's start. It is the ``ReverseStep`` of τ² = d log(φ / σ̂) / d
/// log σ̂.
public struct ERSDE: Solver {
  /// φ.
  public enum NoiseScale: String, Sendable, CaseIterable {
    /// σ̂: the probability-flow ODE.
    case ode
    /// σ̂²: the reverse diffusion.
    case reverseDiffusion
    /// σ̂ (e^(σ̂^0.3) + 10), the authors' choice.
    case extended

    /// φ / σ̂.
    func ratio(_ level: Double) -> Double {
      switch self {
      case .ode: 1
      case .reverseDiffusion: level
      case .extended: .exp(.pow(level, 0.3)) + 10
      }
    }

    /// 1 - (φ_t / σ̂_t) / (φ_s / σ̂_s), without cancellation where the levels are close.
    func loss(from s: Double, to t: Double) -> Double {
      switch self {
      case .ode: 0
      case .reverseDiffusion: (s - t) / s
      case .extended: -Double.exp(.pow(s, 0.3)) * .expMinusOne(.pow(t, 0.3) - .pow(s, 0.3)) / ratio(s)
      }
    }
  }

  /// How the second derivative enters the third stage.
  public enum ThirdOrder: String, Sendable, CaseIterable {
    /// As published: the first derivative stays the backward difference, so that the order stays 2.
    case published
    /// With the first derivative taken to the step's start, and the second step taken anew from the first point: order
    /// 3 without noise, and of the mean with it. The variance has order 2.
    case consistent
  }

  /// How many terms D is expanded into: 1, 2 or 3.
  public let stages: Int
  public let scale: NoiseScale
  public let thirdOrder: ThirdOrder
  /// Multiplies the noise; 1 keeps the marginals.
  public let noiseScale: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for stages outside 1...3 or negative noise.
  public init(
    stages: Int = 3, scale: NoiseScale = .extended, thirdOrder: ThirdOrder = .published, noiseScale: Double = 1
  ) throws(SamplingError) {
    guard (1...3).contains(stages) else {
      throw .invalidOption(name: "the stages of ER-SDE", found: "\(stages)", expected: "1, 2 or 3")
    }
    try checkNoise("the scale of the noise", noiseScale)
    self.stages = stages
    self.scale = scale
    self.thirdOrder = thirdOrder
    self.noiseScale = noiseScale
  }

  private var isConsistent: Bool { stages == 3 && thirdOrder == .consistent }

  public var name: String { "er-sde-\(stages)\(isConsistent ? "-consistent" : "")" }
  public var order: Int? { scale == .ode ? (isConsistent ? 3 : min(stages, 2)) : nil }
  public var stochasticOrder: StochasticOrder? {
    scale == .ode ? nil : StochasticOrder(weak: Double(min(stages, 2)), strong: 1)
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    let start = plan.currentState
    var history: [(value: PlanBuilder.Operand, level: Double)] = []  // newest first
    for (index, (s, t)) in steps.enumerated() {
      let now = (value: plan.evaluate(.sample, at: s), level: s.noiseToSignal)
      let values = [now] + history
      let restarts = isConsistent && index == 1 && !t.isClean
      let (from, state) = restarts ? (steps.points[0], start) : (s, plan.currentState)
      let stage = t.isClean ? 1 : min(stages, values.count)
      plan.step(
        update(from: from, to: t, of: state, values: restarts ? values.reversed() : values, stage: stage),
        keepsNoise: isConsistent && index == 0)
      history = Array(values.prefix(stages - 1))
    }
  }

  /// - Parameter values: of D, the first at the step's start.
  private func update(
    from s: TimePoint, to t: TimePoint, of state: PlanBuilder.Operand,
    values: [(value: PlanBuilder.Operand, level: Double)], stage: Int
  ) -> PlanExpression {
    let (from, to) = (s.noiseToSignal, t.noiseToSignal)
    guard to > 0 else { return t.alpha * values[0].value }
    let loss = scale.loss(from: from, to: to)
    let decay = to / from * (1 - loss)
    // σ̂_t √(1 - (1 - loss)²)
    let deviation = to * (loss * (2 - loss)).squareRoot()
    var sum = t.alpha / s.alpha * decay * state + t.alpha * (1 - decay) * values[0].value
    if stage >= 2 {
      let slope = difference(values[0], values[1])
      sum += t.alpha * weight(1, from: from, to: to) * slope
      if stage == 3 {
        let second = 1 / (from - values[2].level) * (slope - difference(values[1], values[2]))
        sum += 2 * t.alpha * weight(2, from: from, to: to) * second
        if isConsistent {
          sum += t.alpha * weight(1, from: from, to: to) * (from - values[1].level) * second
        }
      }
    }
    return sum + noiseScale * t.alpha * deviation * .noise(from: s, to: t)
  }

  private func difference(
    _ a: (value: PlanBuilder.Operand, level: Double), _ b: (value: PlanBuilder.Operand, level: Double)
  ) -> PlanExpression {
    1 / (a.level - b.level) * (1 * a.value - 1 * b.value)
  }

  /// φ_t ∫ (σ̂ - σ̂_s)ᵏ / k! d(1 / φ) from s to t, by parts: ∫ (σ̂ - σ̂_s)ᵏ⁻¹ / (k - 1)! (φ_t / φ - 1) dσ̂ from t to s.
  private func weight(_ k: Int, from s: Double, to t: Double) -> Double {
    integral(from: .log(t), to: .log(s)) { logLevel in
      let level = Double.exp(logLevel)
      // φ_t / φ - 1
      let change = t / level * (1 - scale.loss(from: level, to: t)) - 1
      return (k == 1 ? 1 : level - s) * change * level
    }
  }
}

/// ∫ f from `a` to `b` by Gauss and Legendre, for functions that are smooth over distances of 1.
///
/// Ten nodes on every piece no longer than 1: the nodes are the zeros of the Legendre polynomial, found by Newton's
/// method (Abramowitz and Stegun, 25.4.29).
func integral(from a: Double, to b: Double, _ f: (Double) -> Double) -> Double {
  let count = 10
  let pieces = max(Int(abs(b - a).rounded(.up)), 1)
  let half = (b - a) / Double(pieces) / 2
  var sum = 0.0
  for index in 1...count {
    var x = Double.cos(.pi * (Double(index) - 0.25) / (Double(count) + 0.5))
    var derivative = 1.0
    for _ in 0..<8 {
      var (previous, value) = (1.0, x)
      for degree in 2...count {
        let d = Double(degree)
        (previous, value) = (value, ((2 * d - 1) * x * value - (d - 1) * previous) / d)
      }
      derivative = Double(count) * (x * value - previous) / (x * x - 1)
      x -= value / derivative
    }
    let weight = 2 / ((1 - x * x) * derivative * derivative)
    for piece in 0..<pieces { sum += weight * f(a + half * (Double(2 * piece + 1) + x)) }
  }
  return half * sum
}

extension ERSDE {
  static let entries = [entry(1), entry(2), entry(3), entry(3, .consistent)]

  private static func entry(_ stages: Int, _ third: ThirdOrder = .published) -> SolverEntry {
    let note = stages == 3 ? (third == .published ? ", of order 2 as published" : ", made consistent") : ""
    return SolverEntry(
      "er-sde-\(stages)\(third == .consistent ? "-consistent" : "")",
      "reverse SDE of less noise, \(stages) terms\(note), 10 to 30 steps", paper: "arXiv:2309.06169",
      conventions: .noiseLevel
    ) { _ throws(SamplingError) in try ERSDE(stages: stages, thirdOrder: third) }
  }
}
