/// How signal and noise mix over time: alpha(t), sigma(t), lambda(t) and back, continuous in t.
///
/// Grids see a path in three ways: by the time that the model is told, by position among the times that it was trained
/// on, and by its own noise level. A path says how they hang together, so that no grid has to know which path it is on.
public protocol NoisePath: Sendable {
  /// How many times the model was trained on, or how many steps are reasonable where it was trained on all.
  var trainingTimesteps: Int { get }

  /// The times that the model may be told, from the least noisy to the noisiest.
  var timesteps: ClosedRange<Double> { get }

  /// Whether the model was trained on whole timesteps only, to which the grids of the papers then keep.
  var hasWholeTimesteps: Bool { get }

  /// The point at model time `timestep`, which is limited to ``timesteps``.
  func point(at timestep: Double) -> TimePoint

  /// The point whose half log signal-to-noise ratio is `lambda`, limited to the path's ends.
  func point(lambda: Double) -> TimePoint

  /// The positions that an even grid runs over, from the least noisy to the noisiest: the trained times, counted from
  /// 0.
  var positions: ClosedRange<Double> { get }

  /// The position at which a grid that runs down to the clean end would have it: one below the first of whole
  /// timesteps.
  var cleanPosition: Double { get }

  /// The point at a real-valued position, shifted where the path shifts its grids.
  func point(position: Double) -> TimePoint

  /// Where `point` lies among the trained times.
  func position(of point: TimePoint) -> Double

  /// The noise level in the path's own terms, in which Karras' grids and the like are spaced: σ̂ = sigma / alpha, or
  /// sigma on a straight path, where σ̂ begins at infinity.
  func level(of point: TimePoint) -> Double

  /// The point of that level, limited to the path's ends.
  func point(level: Double) -> TimePoint
}

extension NoisePath {
  /// The end without noise. Its timestep is the path's earliest: no model is evaluated there.
  public var clean: TimePoint {
    TimePoint(timestep: timesteps.lowerBound, alpha: 1, sigma: 0)
  }

  /// The point where a grid over the whole path begins.
  public var noisiest: TimePoint { point(position: positions.upperBound) }

  public var hasWholeTimesteps: Bool { false }
  public var positions: ClosedRange<Double> { 0...Double(trainingTimesteps - 1) }
  public var cleanPosition: Double { hasWholeTimesteps ? -1 : positions.lowerBound }
  public func point(position: Double) -> TimePoint { point(at: position) }
  public func position(of point: TimePoint) -> Double { self.point(lambda: point.lambda).timestep }
  public func level(of point: TimePoint) -> Double { point.noiseToSignal }
  public func point(level: Double) -> TimePoint { point(lambda: TimePoint.lambda(noiseToSignal: level)) }
}
