import RealModule

/// One step of the probability-flow ODE, exact in its linear part, in x₀ or ε.
///
/// With f the prediction as a function of lambda, and h the step in lambda,
///
///     x(t) = carry x(s) + w₁ f(s) + w₂ h f′(s) + w₃ h² f″(s) + ...
///
/// (Lu et al. 2022, arXiv:2206.00927, eq. 3.7 for ε and arXiv:2211.01095, eq. 14 for x₀.) The weights are
/// wₖ = alpha h φₖ(-h) for x₀ and wₖ = -sigma h φₖ(h) for ε, alpha and sigma those of the step's end.
struct ExponentialStep {
  /// The step in lambda; infinite where it starts at alpha 0 or ends at sigma 0.
  let h: Double
  let carry: Double
  private let scale: Double
  private let direction: Double

  /// - Parameter prediction: `.sample` or `.epsilon`.
  init(_ prediction: Prediction, from s: TimePoint, to t: TimePoint) {
    h = t.lambda - s.lambda
    if prediction == .sample {
      (carry, scale, direction) = (t.sigma / s.sigma, t.alpha, -1)
    } else {
      (carry, scale, direction) = (t.alpha / s.alpha, -t.sigma, 1)
    }
  }

  /// wₖ, with the limit of an infinite step for x₀: alpha / (k - 1)!.
  func weight(_ k: Int) -> Double {
    guard h.isFinite else { return scale / (1..<max(k, 2)).reduce(1.0) { $0 * Double($1) } }
    return scale * h * phi(k, direction * h)
  }

  /// What wₖ is at k = 1 where the exponential is taken for 1: ± alpha h or sigma h.
  var flatWeight: Double { scale * h }

  /// The state at the end where f is interpolated at some values of lambda, of which the first is the start.
  ///
  /// The exponential Adams methods of Hochbruck and Ostermann 2010, "Exponential integrators".
  func interpolating(_ values: [MultistepStep.Value], from state: PlanExpression.Operand) -> PlanExpression {
    let start = carry * state
    guard h != 0 else { return start }
    guard h.isFinite, values.count > 1 else { return start + weight(1) * values[0].operand }
    let nodes = values.map { ($0.point.lambda - values[0].point.lambda) / h }
    return zip(values, lagrangeWeights(nodes, direction * h)).reduce(start) { sum, term in
      sum + scale * h * term.1 * term.0.operand
    }
  }
}
