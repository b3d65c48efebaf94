/// A grid that is made of noise levels: σ̂ = sigma / alpha, or sigma on a straight path.
///
/// What a grid has of its own is how the levels lie between the highest and the lowest. Their times follow from the
/// path.
public protocol NoiseLevelGrid: Grid {
  var steps: Int { get }
  var options: NoiseLevelOptions { get }

  /// As many levels as there are steps, falling; the end of the grid comes after them.
  ///
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)``.
  func levels(from highest: Double, to lowest: Double) throws(SamplingError) -> [Double]
}

/// What the grids of noise levels have in common.
public struct NoiseLevelOptions: Hashable, Sendable {
  /// The highest and the lowest level; nil takes the path's own.
  public var range: ClosedRange<Double>?
  public var times: ToldTimes
  public var end: GridEnd

  public init(range: ClosedRange<Double>? = nil, times: ToldTimes = .exact, end: GridEnd = .clean) {
    self.range = range
    self.times = times
    self.end = end
  }
}

extension NoiseLevelGrid {
  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let range = if let range = options.range { try path.limited(range) } else { try path.levels() }
    let levels = try levels(from: range.upperBound, to: range.lowerBound)
    return try options.times.applied(to: levels.map { path.point(level: $0) }, on: path) + [options.end.point(on: path)]
  }

  /// `level` at even fractions from 0 to 1, the ends exact.
  func spread(from highest: Double, to lowest: Double, _ level: (_ fraction: Double) -> Double) -> [Double] {
    (0..<steps).map { index in
      switch evenFraction(index, of: steps) {
      case 0: highest
      case 1: lowest
      case let fraction: min(max(level(fraction), lowest), highest)
      }
    }
  }
}

extension NoisePath {
  /// The levels from the least to the most noise that an even grid visits.
  ///
  /// - Throws: ``SamplingError/invalidGrid(_:)`` where they are not finite and positive.
  func levels() throws(SamplingError) -> ClosedRange<Double> {
    let highest = level(of: point(position: positions.upperBound))
    let lowest = level(of: point(position: positions.lowerBound))
    guard highest.isFinite, lowest > 0, lowest <= highest else {
      throw .invalidGrid("is spaced in noise levels, and the path's ends have none: \(highest), \(lowest)")
    }
    return lowest...highest
  }

  /// A range of levels that the caller gives; a thousandth beyond the path's ends counts as a rounding.
  fileprivate func limited(_ range: ClosedRange<Double>) throws(SamplingError) -> ClosedRange<Double> {
    let lowest = level(of: point(at: timesteps.lowerBound))
    let highest = level(of: point(at: timesteps.upperBound))
    guard range.lowerBound > 0, range.upperBound.isFinite, range.lowerBound >= lowest * 0.999,
      range.upperBound <= highest * 1.001
    else {
      throw .invalidOption(
        name: "the range of noise levels", found: "\(range)", expected: "positive levels within \(lowest)...\(highest)")
    }
    return max(range.lowerBound, lowest)...max(min(range.upperBound, highest), lowest)
  }
}

/// Refuses an exponent of a noise level grid that is no positive number.
func checkExponent(_ rho: Double) throws(SamplingError) {
  guard rho > 0, rho.isFinite else {
    throw .invalidOption(name: "rho", found: "\(rho)", expected: "a positive number")
  }
}
