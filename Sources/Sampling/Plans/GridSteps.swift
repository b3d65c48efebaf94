import RealModule

/// The steps of a grid: a sequence of (from, to) pairs of time points, noisiest first, or last for an inversion.
public struct GridSteps: Sequence, Sendable {
  public let points: [TimePoint]
  /// Whether the noise rises from point to point.
  public let areRising: Bool
  /// The noise path that the points lie on, where the caller gave one.
  private let path: (any NoisePath)?

  /// - Throws: ``SamplingError/invalidGrid(_:)`` unless there are two or more finite points whose noise never rises, or
  ///   never falls, of which only the end with the least noise may be clean.
  public init(_ points: [TimePoint], on path: (any NoisePath)? = nil) throws(SamplingError) {
    guard points.count >= 2 else { throw .invalidGrid("needs two points or more, not \(points.count)") }
    for point in points {
      guard point.alpha.isFinite, point.sigma.isFinite, point.timestep.isFinite, point.alpha >= 0, point.sigma >= 0,
        point.alpha + point.sigma > 0
      else { throw .invalidGrid("has a point that is no mixture of signal and noise: \(point)") }
    }
    areRising = points[points.count - 1].noiseToSignal > points[0].noiseToSignal
    let falling = areRising ? points.reversed() : points
    for (earlier, later) in zip(falling, falling.dropFirst()) where !(later.noiseToSignal <= earlier.noiseToSignal) {
      throw .invalidGrid(
        "goes from noise level \(earlier.noiseToSignal) to \(later.noiseToSignal) and is not monotone")
    }
    guard !falling.dropLast().contains(where: \.isClean) else { throw .invalidGrid("goes on after sigma 0") }
    self.points = points
    self.path = path
  }

  public var count: Int { points.count - 1 }

  /// The point of half log signal-to-noise ratio `lambda` within the step from `s` to `t`, or a little before it.
  ///
  /// On the noise path where it is known, no further than its ends; otherwise interpolated, time being taken for linear
  /// in lambda, between points that are both straight, both of alpha 1, or else as variance preserving as the two are.
  public func point(lambda: Double, from s: TimePoint, to t: TimePoint) -> TimePoint {
    if let path { return path.point(lambda: lambda) }
    let fraction = t.isClean ? 0 : (lambda - s.lambda) / (t.lambda - s.lambda)
    let timestep = s.timestep + fraction * (t.timestep - s.timestep)
    let level = Double.exp(-lambda)
    let alpha: Double
    if [s, t].allSatisfy({ abs($0.alpha + $0.sigma - 1) < 1e-9 }) {
      alpha = 1 / (1 + level)
    } else if abs(s.alpha - t.alpha) < 1e-12 {
      alpha = s.alpha
    } else {
      let deviation = s.standardDeviation * Double.pow(t.standardDeviation / s.standardDeviation, fraction)
      alpha = deviation / (1 + level * level).squareRoot()
    }
    return TimePoint(timestep: timestep, alpha: alpha, sigma: alpha * level)
  }

  /// The point of a timestep on the noise path, or, where that is not known, between the grid's: the noise level is
  /// then taken for linear in time.
  func point(at timestep: Double) -> TimePoint {
    if let path { return path.point(at: timestep) }
    let steps = zip(points, points.dropFirst())
    guard let (s, t) = steps.first(where: { $0.timestep >= timestep && $1.timestep <= timestep }) else {
      return timestep > points[0].timestep ? points[0] : points[points.count - 1]
    }
    guard s.timestep > t.timestep else { return t }
    let fraction = (s.timestep - timestep) / (s.timestep - t.timestep)
    let level = s.noiseToSignal + fraction * (t.noiseToSignal - s.noiseToSignal)
    return level == 0 ? t : point(lambda: -.log(level), from: s, to: t)
  }

  /// The steps between some of the points.
  func part(_ range: ClosedRange<Int>) throws(SamplingError) -> GridSteps {
    try GridSteps(Array(points[range]), on: path)
  }

  public func makeIterator() -> some IteratorProtocol<(TimePoint, TimePoint)> {
    zip(points, points.dropFirst()).makeIterator()
  }
}
