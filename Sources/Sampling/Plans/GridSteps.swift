/// The steps of a grid: a sequence of (from, to) pairs of time points, noisiest first, or last for an inversion.
public struct GridSteps: Sequence, Sendable {
  public let points: [TimePoint]
  /// Whether the noise rises from point to point.
  public let areRising: Bool

  /// - Throws: ``SamplingError/invalidGrid(_:)`` unless there are two or more finite points whose noise never rises, or
  ///   never falls, of which only the end with the least noise may be clean.
  public init(_ points: [TimePoint]) throws(SamplingError) {
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
  }

  public var count: Int { points.count - 1 }

  public func makeIterator() -> some IteratorProtocol<(TimePoint, TimePoint)> {
    zip(points, points.dropFirst()).makeIterator()
  }
}
