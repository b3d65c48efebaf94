import RealModule

/// The straight path of rectified flow and flow matching: x = (1 - sigma) x₀ + sigma ε.
///
/// Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747. The model is told
/// sigma × `trainingTimesteps`.
public struct RectifiedFlow: NoisePath {
  public let trainingTimesteps: Int

  /// Moves a grid's points towards the noise: sigma → shift sigma / (1 + (shift - 1) sigma)
  /// (Esser et al. 2024, arXiv:2403.03206, eq. 23). 1 leaves them where they are.
  public let shift: Double

  /// - Throws: ``SamplingError/invalidShift(_:)`` unless the shift is positive and finite.
  public init(shift: Double = 1, trainingTimesteps: Int = 1000) throws(SamplingError) {
    guard shift > 0, shift.isFinite else { throw .invalidShift(shift) }
    guard trainingTimesteps >= 1 else { throw .invalidBetas("\(trainingTimesteps) training timesteps") }
    self.shift = shift
    self.trainingTimesteps = trainingTimesteps
  }

  public var timesteps: ClosedRange<Double> { 0...Double(trainingTimesteps) }

  public func point(at timestep: Double) -> TimePoint {
    point(sigma: timestep / Double(trainingTimesteps))
  }

  public func point(lambda: Double) -> TimePoint {
    point(sigma: 1 / (1 + .exp(lambda)))
  }

  public func point(sigma: Double) -> TimePoint {
    let sigma = min(max(sigma, 0), 1)
    return TimePoint(timestep: sigma * Double(trainingTimesteps), alpha: 1 - sigma, sigma: sigma)
  }

  /// `sigma` after the shift.
  public func shifted(_ sigma: Double) -> Double {
    // The quotient written so that 1 stays 1 in floating point.
    shift * sigma / (shift * sigma + (1 - sigma))
  }
}
