/// A grid whose first steps have a point in their middle, by the timestep: for ``PNDM``'s Runge-Kutta start.
public struct HalvedGrid<Base: Grid>: Grid {
  public let base: Base
  /// How many steps are halved; fewer where there are not so many before the last.
  public let count: Int

  public init(_ base: Base, count: Int = 3) {
    self.base = base
    self.count = count
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    let points = try base.points(on: path)
    return zip(points, points.dropFirst()).enumerated().flatMap { index, step in
      index < count && !step.1.isClean
        ? [step.0, path.point(at: (step.0.timestep + step.1.timestep) / 2)] : [step.0]
    } + points.suffix(1)
  }
}

/// Timesteps out of those that a latent consistency model was distilled on: every (T / `originalSteps`)th.
///
/// Luo et al. 2023, arXiv:2310.04378, section 4.3, with the rounding of diffusers' `LCMScheduler` and `TCDScheduler`.
/// Below a ``StartingGrid``'s start there are fewer of them, and no more steps than those.
public struct DistilledGrid: Grid {
  public var steps: Int
  public var originalSteps: Int
  public var end: GridEnd

  public init(steps: Int, originalSteps: Int = 50, end: GridEnd = .clean) {
    self.steps = steps
    self.originalSteps = originalSteps
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    guard (1...path.trainingTimesteps).contains(originalSteps) else {
      throw .invalidSteps(found: originalSteps, allowed: 1...path.trainingTimesteps)
    }
    let stride = path.trainingTimesteps / originalSteps
    let count = min(originalSteps, max(Int((path.positions.upperBound + 1) / Double(stride)), 1))
    guard steps <= count else { throw .invalidSteps(found: steps, allowed: 1...count) }
    return (0..<steps).map { index in
      let rank = count - index * count / steps
      return path.point(position: Double(rank * stride - 1))
    } + [end.point(on: path)]
  }
}
