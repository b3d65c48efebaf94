/// What a model's output stands for. Each is p x₀ + q ε for some p and q, so any two determine each other given x.
public enum Prediction: String, Hashable, Sendable, Codable, CaseIterable {
  /// The noise ε.
  case epsilon
  /// The clean image x₀.
  case sample
  /// v = alpha ε - sigma x₀ (Salimans and Ho 2022, arXiv:2202.00512), over the root of alpha² + sigma² on paths where
  /// that is not 1.
  case velocity
  /// ε - x₀, the velocity of a straight path (Lipman et al. 2022, arXiv:2210.02747).
  case flow
  /// x₀ - ε: that velocity where time runs from the noise to the data.
  case inverseFlow
  /// Karras' F, of data whose standard deviation sigma_data is 1/2: x₀ = c_skip x + c_out F with
  /// c_skip = sigma_data² / (sigma² + sigma_data²) and c_out = sigma sigma_data / √(sigma² + sigma_data²)
  /// (Karras et al. 2022, arXiv:2206.00364, table 1), sigma and x being over alpha. The network sees
  /// c_in x: see ``inputScale(at:)``. With sigma_data 1 in the place of 1/2, F is -v.
  case edm

  /// EDM's sigma_data.
  static let dataDeviation = 0.5

  /// What a network with this prediction multiplies the state by before it looks at it: EDM's c_in, or 1. On paths that
  /// leave the signal alone a velocity is EDM's F but for its sign, with sigma_data 1.
  public func inputScale(at point: TimePoint) -> Double {
    switch self {
    case .edm: 1 / Self.deviation(at: point)
    case .velocity where point.alpha == 1: 1 / point.standardDeviation
    default: 1
    }
  }

  /// That of the state where the data have EDM's.
  private static func deviation(at point: TimePoint) -> Double {
    let signal = point.alpha * dataDeviation
    return (signal * signal + point.sigma * point.sigma).squareRoot()
  }

  /// (p, q) of this prediction at `point`.
  func components(at point: TimePoint) -> (sample: Double, epsilon: Double) {
    switch self {
    case .epsilon: (0, 1)
    case .sample: (1, 0)
    case .velocity: (-point.sigma / point.standardDeviation, point.alpha / point.standardDeviation)
    case .flow: (-1, 1)
    case .inverseFlow: (1, -1)
    case .edm:
      (
        point.sigma / (Self.dataDeviation * Self.deviation(at: point)),
        -point.alpha * Self.dataDeviation / Self.deviation(at: point)
      )
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
