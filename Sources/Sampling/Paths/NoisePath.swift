/// How signal and noise mix over time: alpha(t), sigma(t), lambda(t) and back, continuous in t.
public protocol NoisePath: Sendable {
  /// How many timesteps the model was trained on; times run from 0 to this.
  var trainingTimesteps: Int { get }

  /// The earliest and the latest time a grid may visit.
  var timesteps: ClosedRange<Double> { get }

  /// The point at model time `timestep`, which is limited to ``timesteps``.
  func point(at timestep: Double) -> TimePoint

  /// The point whose half log signal-to-noise ratio is `lambda`, limited to the path's ends.
  func point(lambda: Double) -> TimePoint
}

extension NoisePath {
  /// The end without noise. Its timestep is the path's earliest: no model is evaluated there.
  public var clean: TimePoint {
    TimePoint(timestep: timesteps.lowerBound, alpha: 1, sigma: 0)
  }
}
