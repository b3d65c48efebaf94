/// Times that the caller gives, noisiest first; the grid has one step fewer than there are of them.
public struct ExplicitGrid: Grid {
  public enum Values: Hashable, Sendable {
    /// Model times.
    case timesteps([Double])
    /// Noise levels: sigma / alpha, or sigma on a straight path. A last one of 0 is the clean end.
    case noiseLevels([Double])
    /// Half log signal-to-noise ratios; a last one of infinity is the clean end.
    case lambdas([Double])
  }

  public var values: Values
  public var times: ToldTimes
  /// Appended to the values; nil where the last of them is the end.
  public var end: GridEnd?

  public init(_ values: Values, times: ToldTimes = .exact, end: GridEnd? = nil) {
    self.values = values
    self.times = times
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    let (noisiest, clearest) = (path.point(at: path.timesteps.upperBound), path.point(at: path.timesteps.lowerBound))
    let points: [TimePoint]
    switch values {
    case .timesteps(let values):
      try check(values, from: path.timesteps.upperBound, to: path.timesteps.lowerBound, "timestep")
      points = values.map { path.point(at: $0) }
    case .noiseLevels(let values):
      try check(values, from: path.level(of: noisiest), to: path.level(of: clearest), end: 0, "noise level")
      points = values.map { $0 == 0 ? path.clean : path.point(level: $0) }
    case .lambdas(let values):
      try check(values.map(-), from: -noisiest.lambda, to: -clearest.lambda, end: -.infinity, "-lambda")
      points = values.map { $0 == .infinity ? path.clean : path.point(lambda: $0) }
    }
    if points.count < (end == nil ? 2 : 1) { throw .invalidGrid("needs a step, and has \(points.count) values") }
    let noisy = points.last?.isClean == true ? points.dropLast() : points[...]
    return try times.applied(to: Array(noisy), on: path) + points.dropFirst(noisy.count)
      + (end.map { [$0.point(on: path)] } ?? [])
  }

  /// Refuses values that do not fall or that the path does not have; a thousandth beyond its ends counts as a rounding.
  private func check(
    _ values: [Double], from highest: Double, to lowest: Double, end: Double? = nil, _ name: String
  ) throws(SamplingError) {
    let slack = 0.001
    for (index, value) in values.enumerated() where !(index == values.count - 1 && value == end) {
      guard value <= highest + slack * abs(highest), value >= lowest - slack * abs(lowest) else {
        throw .invalidGrid("has \(name) \(value), and the path those from \(highest) to \(lowest)")
      }
    }
    for (left, right) in zip(values, values.dropFirst()) where !(right < left) {
      throw .invalidGrid("has \(name) \(right) after \(left), and they must fall")
    }
  }
}
