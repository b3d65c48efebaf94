import RealModule

/// Paths that add noise and leave the signal alone: x = x₀ + sigma ε, alpha being 1.
///
/// Song et al. 2021, arXiv:2011.13456, eq. 9; Karras et al. 2022 (EDM), arXiv:2206.00364, table 1. Positions are evenly
/// spaced in log sigma. The state is not scaled: EDM's network F sees c_in x with c_in = 1 / √(sigma² + sigma_data²),
/// which ``Prediction/inputScale(at:)`` gives, and that is the model's own business.
public struct VarianceExploding: NoisePath {
  /// What the model is told of the noise.
  public enum Conditioning: String, Hashable, Sendable, Codable, CaseIterable {
    /// ln(sigma) / 4: EDM's c_noise.
    case quarterLog
    /// sigma itself.
    case noiseLevel
  }

  public let conditioning: Conditioning
  /// From the least sigma to the greatest.
  public let noiseLevels: ClosedRange<Double>
  public let trainingTimesteps: Int

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless 0 < `lowest` < `highest` < ∞ and there are
  ///   two training timesteps or more.
  public init(
    lowest: Double, highest: Double, conditioning: Conditioning = .quarterLog, trainingTimesteps: Int = 1000
  ) throws(SamplingError) {
    guard lowest > 0, highest > lowest, highest.isFinite else {
      throw .invalidOption(
        name: "the range of sigma", found: "\(lowest) to \(highest)", expected: "two positive numbers, the lower first")
    }
    guard trainingTimesteps >= 2 else {
      throw .invalidOption(name: "training timesteps", found: "\(trainingTimesteps)", expected: "2 or more")
    }
    self.init(levels: lowest...highest, conditioning: conditioning, trainingTimesteps: trainingTimesteps)
  }

  private init(levels: ClosedRange<Double>, conditioning: Conditioning, trainingTimesteps: Int) {
    noiseLevels = levels
    self.conditioning = conditioning
    self.trainingTimesteps = trainingTimesteps
  }

  /// EDM's: sigma from 0.002 to 80, the model being told ln(sigma) / 4.
  public static let edm = VarianceExploding(levels: 0.002...80, conditioning: .quarterLog, trainingTimesteps: 1000)

  public var timesteps: ClosedRange<Double> { time(noiseLevels.lowerBound)...time(noiseLevels.upperBound) }

  public func point(at timestep: Double) -> TimePoint {
    // The ends as they are, which a logarithm and back would round.
    if timestep <= timesteps.lowerBound { return point(level: noiseLevels.lowerBound) }
    if timestep >= timesteps.upperBound { return point(level: noiseLevels.upperBound) }
    return point(level: conditioning == .quarterLog ? .exp(4 * timestep) : timestep)
  }

  public func point(lambda: Double) -> TimePoint { point(level: .exp(-lambda)) }

  public func point(level: Double) -> TimePoint {
    let sigma = min(max(level, noiseLevels.lowerBound), noiseLevels.upperBound)
    return TimePoint(timestep: time(sigma), alpha: 1, sigma: sigma)
  }

  public func point(position: Double) -> TimePoint {
    let fraction = position / positions.upperBound
    if fraction >= 1 { return point(level: noiseLevels.upperBound) }
    return point(level: noiseLevels.lowerBound * .exp(fraction * span))
  }

  public func position(of point: TimePoint) -> Double {
    .log(point.noiseToSignal / noiseLevels.lowerBound) / span * positions.upperBound
  }

  private var span: Double { .log(noiseLevels.upperBound / noiseLevels.lowerBound) }

  private func time(_ sigma: Double) -> Double { conditioning == .quarterLog ? 0.25 * .log(sigma) : sigma }
}

extension NoisePath where Self == VarianceExploding {
  /// See ``VarianceExploding/edm``.
  public static var edm: VarianceExploding { VarianceExploding.edm }
}
