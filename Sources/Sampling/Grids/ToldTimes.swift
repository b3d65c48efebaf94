/// Which time the model is told where a grid's points fall between whole timesteps.
public enum ToldTimes: String, Hashable, Sendable, Codable, CaseIterable {
  /// That of the point.
  case exact
  /// The nearest whole one, to which the step moves as well: for models that know whole timesteps only.
  case rounded
  /// The nearest whole one, while the step stays where it is. diffusers' DPM-Solver does so with Karras' levels, and
  /// the model is then up to 4 % off the noise that it sees.
  case roundedForModelOnly
  /// The whole one below, while the step stays: diffusers' DPM-Solver on its other noise levels.
  case truncatedForModelOnly

  /// `points` as the model is to be told them.
  ///
  /// - Throws: ``SamplingError/invalidGrid(_:)`` where two would become one.
  func applied(to points: [TimePoint], on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    func telling(_ time: (Double) -> Double) -> [TimePoint] {
      points.map { TimePoint(timestep: time($0.timestep), alpha: $0.alpha, sigma: $0.sigma) }
    }
    switch self {
    case .exact: return points
    case .roundedForModelOnly: return telling { $0.rounded(.toNearestOrEven) }
    case .truncatedForModelOnly: return telling { $0.rounded(.towardZero) }
    case .rounded:
      let moved = points.map { path.point(at: $0.timestep.rounded(.toNearestOrEven)) }
      if let (left, _) = zip(moved, moved.dropFirst()).first(where: { $0.timestep == $1.timestep }) {
        throw .invalidGrid("has two points that round to timestep \(left.timestep)")
      }
      return moved
    }
  }
}
