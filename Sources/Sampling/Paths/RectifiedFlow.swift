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

  /// Whether the least trained sigma, at which a grid ends before the clean end, is shifted before the grid is, and
  /// thus twice: diffusers' `FlowMatchEulerDiscreteScheduler` without dynamic shift (its issue 13243). The last step is
  /// then `shift` times as long.
  public let repeatsShift: Bool

  /// - Throws: ``SamplingError/invalidShift(_:)`` unless the shift is positive and finite;
  ///   ``SamplingError/invalidOption(name:found:expected:)`` where there are no training timesteps.
  public init(shift: Double = 1, repeatsShift: Bool = false, trainingTimesteps: Int = 1000) throws(SamplingError) {
    guard shift > 0, shift.isFinite else { throw .invalidShift(shift) }
    guard trainingTimesteps >= 1 else {
      throw .invalidOption(
        name: "the number of training timesteps", found: "\(trainingTimesteps)", expected: "1 or more")
    }
    self.shift = shift
    self.repeatsShift = repeatsShift
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

  /// Position k is the trained sigma (k + 1) / `trainingTimesteps`, before the shift.
  public var positions: ClosedRange<Double> {
    let last = Double(trainingTimesteps - 1)
    let first = Double(trainingTimesteps) * shifted(1 / Double(trainingTimesteps)) - 1
    return (repeatsShift ? min(first, last) : 0)...last
  }

  public var cleanPosition: Double { -1 }

  public func point(position: Double) -> TimePoint {
    point(sigma: shifted(min((position + 1) / Double(trainingTimesteps), 1)))
  }

  public func position(of point: TimePoint) -> Double {
    let unshifted = point.sigma / (point.sigma + shift * (1 - point.sigma))
    return unshifted * Double(trainingTimesteps) - 1
  }

  public func level(of point: TimePoint) -> Double { point.sigma }
  public func point(level: Double) -> TimePoint { point(sigma: level) }
}
