/// SA-Solver: stochastic Adams methods, a predictor and a corrector that costs no evaluation.
///
/// Xue et al. 2023, arXiv:2309.05019, algorithm 1. The prediction is interpolated through its values at the last
/// points, and the polynomial is integrated against the kernel of the step's reverse SDE. The corrector does the same
/// with the value at the predicted state among them, and with the predictor's noise; the model is not asked again
/// afterwards. Each step has one τ, that of its start. The integrals are sums of φ functions of the polynomial in (λ -
/// λ_s) / h, so that nothing cancels however short the steps.
public struct SASolver: Solver {
  /// How much noise the reverse SDE has.
  public enum Noisiness: Hashable, Sendable {
    /// The same τ everywhere.
    case constant(Double)
    /// τ where the timestep lies in the range, 0 elsewhere.
    case timesteps(ClosedRange<Double>, tau: Double)
    /// τ where σ̂ = sigma / alpha lies in the range, 0 elsewhere: the paper's choice for EDM.
    case levels(ClosedRange<Double>, tau: Double)

    /// diffusers' choice.
    public static let standard = Noisiness.timesteps(200...800, tau: 1)

    /// τ of the step that starts at `point`.
    func tau(at point: TimePoint) -> Double {
      switch self {
      case .constant(let tau): tau
      case .timesteps(let range, let tau): range.contains(point.timestep) ? tau : 0
      case .levels(let range, let tau): range.contains(point.noiseToSignal) ? tau : 0
      }
    }

    fileprivate var largest: Double {
      switch self {
      case .constant(let tau), .timesteps(_, let tau), .levels(_, let tau): tau
      }
    }
  }

  /// How x₀ is integrated between two values.
  public enum SecondOrder: String, Sendable, CaseIterable {
    /// With 1/2 for φ₂, as the authors and diffusers do.
    case published
    /// The linear interpolation itself.
    case exact
  }

  /// `.sample` or `.epsilon`.
  public let prediction: Prediction
  /// How many values the predictor interpolates, 1 to 4.
  public let predictorOrder: Int
  /// How many values the corrector interpolates, the new one among them, 1 to 4; 0 leaves it out.
  public let correctorOrder: Int
  public let noisiness: Noisiness
  public let secondOrder: SecondOrder
  /// Lowers the order of the last steps, as diffusers does.
  public let lowersFinalOrder: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for orders out of range, another prediction, or a
  ///   negative τ.
  public init(
    _ prediction: Prediction = .sample, predictorOrder: Int = 2, correctorOrder: Int = 2,
    noisiness: Noisiness = .standard, secondOrder: SecondOrder = .published, lowersFinalOrder: Bool = true
  ) throws(SamplingError) {
    guard prediction == .sample || prediction == .epsilon else {
      throw .invalidOption(
        name: "the prediction of SA-Solver", found: prediction.rawValue, expected: "sample or epsilon")
    }
    guard (1...4).contains(predictorOrder) else {
      throw .invalidOption(name: "the predictor's order", found: "\(predictorOrder)", expected: "1 to 4")
    }
    guard (0...4).contains(correctorOrder) else {
      throw .invalidOption(name: "the corrector's order", found: "\(correctorOrder)", expected: "0 to 4")
    }
    try checkNoise("tau", noisiness.largest)
    self.prediction = prediction
    self.predictorOrder = predictorOrder
    self.correctorOrder = correctorOrder
    self.noisiness = noisiness
    self.secondOrder = secondOrder
    self.lowersFinalOrder = lowersFinalOrder
  }

  public var name: String { prediction == .sample ? "sa-solver" : "sa-solver-epsilon" }

  /// The corrector gains an order over a predictor of one less, as an Adams method does.
  private var skeletonOrder: Int { max(predictorOrder, min(correctorOrder, predictorOrder + 1)) }

  public var order: Int? { noisiness.largest == 0 ? skeletonOrder : nil }
  public var stochasticOrder: StochasticOrder? {
    noisiness.largest == 0 ? nil : StochasticOrder(weak: Double(min(skeletonOrder, 2)), strong: 1)
  }

  private typealias Value = (operand: PlanBuilder.Operand, lambda: Double)

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    if prediction == .epsilon { try requireNoise(steps) }
    let first = steps.points[0]
    var values: [Value] = [(plan.evaluate(prediction, at: first), first.lambda)]  // newest first
    for (index, (s, t)) in steps.enumerated() {
      let tau = noisiness.tau(at: s)
      let step = ReverseStep(prediction, from: s, to: t, tauSquared: tau * tau)
      let left = lowersFinalOrder ? steps.count - index : max(predictorOrder, correctorOrder)
      let start = step.carry * .state + step.deviation * .noise(from: s, to: t)
      let predicted = start + drift(step, values.prefix(t.isClean ? 1 : min(predictorOrder, left)), from: s)
      guard index + 1 < steps.count else {
        plan.step(predicted)
        break
      }
      let stage = plan.stage(predicted)
      let value = (plan.evaluate(prediction, at: t, of: stage), t.lambda)
      if correctorOrder > 0 {
        let known = [value] + values.prefix(min(correctorOrder, left + 1) - 1)
        plan.step(start + drift(step, known[...], from: s))
      } else {
        plan.step(1 * stage)
      }
      values = [value] + values.prefix(max(predictorOrder, correctorOrder - 1) - 1)
    }
  }

  /// The integral of the polynomial through `values`.
  private func drift(_ step: ReverseStep, _ values: ArraySlice<Value>, from s: TimePoint) -> PlanExpression {
    guard step.h > 0 else { return .zero }
    let nodes = values.map { step.h.isFinite ? ($0.lambda - s.lambda) / step.h : 0 }
    if values.count == 2, prediction == .sample, secondOrder == .published {
      let newest = values[values.startIndex].operand
      let older = values[values.startIndex + 1].operand
      let slope = 1 / (nodes[0] - nodes[1]) * (1 * newest - 1 * older)
      // The value at s is the newest of the predictor's and the older of the corrector's.
      return step.weight(1) * (nodes[0] == 0 ? newest : older) + step.lengthWeight / 2 * slope
    }
    return zip(values, lagrangePolynomials(through: nodes)).reduce(.zero) { sum, term in
      sum + step.integral(of: term.1) * term.0.operand
    }
  }
}

/// The coefficients, by rising power, of the polynomials that are 1 at one node and 0 at the others.
func lagrangePolynomials(through nodes: [Double]) -> [[Double]] {
  nodes.indices.map { index in
    var polynomial = [1.0]
    for (other, node) in nodes.enumerated() where other != index {
      let scale = 1 / (nodes[index] - node)
      // times (v - node) / (nodes[index] - node)
      polynomial = zip([0] + polynomial, polynomial + [0]).map { scale * ($0 - node * $1) }
    }
    return polynomial
  }
}

extension SASolver {
  static let entries = [
    entry(.sample, "predictor and corrector of order 2", aliases: ["SASolverScheduler"]),
    entry(.epsilon, "the same in the predicted noise"),
  ]

  private static func entry(_ prediction: Prediction, _ what: String, aliases: [String] = []) -> SolverEntry {
    SolverEntry(
      prediction == .sample ? "sa-solver" : "sa-solver-epsilon", aliases: aliases,
      "reverse SDE by stochastic Adams methods, \(what), 15 to 50 steps", paper: "arXiv:2309.05019",
      conventions: .multistep.with { $0.end = .leastNoise }
    ) { _ throws(SamplingError) in try SASolver(prediction) }
  }
}
