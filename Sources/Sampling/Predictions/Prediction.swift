/// What a model's output stands for. Each is p x₀ + q ε for some p and q, so any two determine each other given x.
public enum Prediction: String, Hashable, Sendable, Codable, CaseIterable {
  /// The noise ε.
  case epsilon
  /// The clean image x₀.
  case sample
  /// v = alpha ε - sigma x₀ (Salimans and Ho 2022, arXiv:2202.00512).
  case velocity
  /// ε - x₀, the velocity of a straight path (Lipman et al. 2022, arXiv:2210.02747).
  case flow

  /// (p, q) of this prediction at `point`.
  func components(at point: TimePoint) -> (sample: Double, epsilon: Double) {
    switch self {
    case .epsilon: (0, 1)
    case .sample: (1, 0)
    case .velocity: (-point.sigma, point.alpha)
    case .flow: (-1, 1)
    }
  }

  /// The coefficients that make `target` from the state x and this prediction m: target = a x + b m.
  ///
  /// From x = alpha x₀ + sigma ε and m = p x₀ + q ε by Cramer's rule. Not finite where this prediction says nothing
  /// about the target: ε at sigma 0 from x₀, x₀ at alpha 0 from ε.
  public func coefficients(to target: Prediction, at point: TimePoint) -> (state: Double, output: Double) {
    if self == target { return (0, 1) }
    let from = components(at: point)
    let to = target.components(at: point)
    let determinant = point.alpha * from.epsilon - point.sigma * from.sample
    return (
      (to.sample * from.epsilon - to.epsilon * from.sample) / determinant,
      (to.epsilon * point.alpha - to.sample * point.sigma) / determinant
    )
  }
}
