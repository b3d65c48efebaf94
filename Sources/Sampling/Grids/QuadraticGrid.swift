/// Timesteps whose roots are evenly spaced: long steps through the noise, short ones near the image.
///
/// Song, Meng and Ermon 2021 (DDIM), arXiv:2010.02502, appendix D.2. DDIM's own program begins at 0.8 of the timesteps,
/// which ``reach`` 0.8 gives, and rounds them down.
public struct QuadraticGrid: Grid {
  public var steps: Int
  /// Where the grid begins, as a share of the timesteps.
  public var reach: Double
  public var times: ToldTimes
  public var end: GridEnd

  public init(steps: Int, reach: Double = 1, times: ToldTimes = .exact, end: GridEnd = .clean) {
    self.steps = steps
    self.reach = reach
    self.times = times
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    guard reach > 0, reach <= 1 else {
      throw .invalidOption(name: "the reach", found: "\(reach)", expected: "more than 0, at most 1")
    }
    let (first, last) = (path.positions.upperBound * reach, path.positions.lowerBound)
    let points = (0..<steps).map { index in
      let root = 1 - evenFraction(index, of: steps)
      return path.point(position: last + (first - last) * root * root)
    }
    return try times.applied(to: points, on: path) + [end.point(on: path)]
  }
}
