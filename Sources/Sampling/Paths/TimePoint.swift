import RealModule

/// One point of a noise path: x = alpha x₀ + sigma ε.
public struct TimePoint: Hashable, Sendable, Codable {
  /// The time as the model is told it; a real number unless a grid rounds it.
  public var timestep: Double
  /// The signal's coefficient.
  public var alpha: Double
  /// The noise's coefficient; 0 at the clean end.
  public var sigma: Double

  public init(timestep: Double, alpha: Double, sigma: Double) {
    self.timestep = timestep
    self.alpha = alpha
    self.sigma = sigma
  }

  /// Half the log signal-to-noise ratio, log(alpha / sigma): infinite at the clean end, minus infinity
  /// where no signal is left.
  public var lambda: Double { .log(alpha) - .log(sigma) }

  /// lambda where sigma / alpha is `noiseToSignal`.
  static func lambda(noiseToSignal: Double) -> Double { -.log(noiseToSignal) }

  /// sigma / alpha, the noise level of k-diffusion and EDM, called sigma there.
  public var noiseToSignal: Double { sigma / alpha }

  /// That of the state where the data have variance 1: the root of alpha² + sigma².
  public var standardDeviation: Double { (alpha * alpha + sigma * sigma).squareRoot() }

  /// No noise left: alpha 1, sigma 0.
  public var isClean: Bool { sigma == 0 }
}
