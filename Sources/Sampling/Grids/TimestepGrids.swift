/// How a timestep grid counts its divisions. diffusers has both ways.
public enum GridDivision: String, Hashable, Sendable, Codable {
  /// N points: DDIM, DDPM, Euler and Heun.
  case steps
  /// N + 1 points, of which the last is left out: DPM-Solver.
  case stepsAndEnd
}

/// Every (T/N)th timestep, counted up from the offset: the model's first steps are left out.
///
/// diffusers' `leading` (Lin et al. 2023, arXiv:2305.08891, table 2). An offset that would pass the last timestep is
/// lowered to what fits.
public struct LeadingGrid: Grid {
  public var steps: Int
  public var offset: Int
  public var division: GridDivision
  public var end: GridEnd

  public init(steps: Int, offset: Int = 0, division: GridDivision = .steps, end: GridEnd = .clean) {
    self.steps = steps
    self.offset = offset
    self.division = division
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let last = Int(path.timesteps.upperBound)
    let stride: Int
    let lowest: Int
    switch division {
    case .steps: (stride, lowest) = (path.trainingTimesteps / steps, 0)
    case .stepsAndEnd: (stride, lowest) = (path.trainingTimesteps / (steps + 1), 1)
    }
    guard stride > 0 else { throw .invalidSteps(found: steps, allowed: 1...(path.trainingTimesteps - 1)) }
    let highest = (steps - 1 + lowest) * stride
    let offset = min(max(offset, 0), last - highest)
    return (0..<steps).map { path.point(at: Double(highest - $0 * stride + offset)) } + [end.point(on: path)]
  }
}

/// Timesteps evenly spaced from the last to the first.
///
/// diffusers' `linspace`. On a rectified flow its N points run from sigma 1 to the least positive trained sigma,
/// shifted at the least sigma and again as a whole, as diffusers' `FlowMatchEulerDiscreteScheduler` does by default.
public struct LinspaceGrid: Grid {
  public var steps: Int
  public var division: GridDivision
  /// Whether timesteps are rounded to integers; the step moves with them.
  public var rounds: Bool
  public var end: GridEnd

  public init(steps: Int, division: GridDivision = .steps, rounds: Bool = true, end: GridEnd = .clean) {
    self.steps = steps
    self.division = division
    self.rounds = rounds
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    if let flow = path as? RectifiedFlow {
      let least = flow.shifted(1 / Double(flow.trainingTimesteps))
      return (0..<steps).map { index in
        let fraction = steps == 1 ? 0 : Double(index) / Double(steps - 1)
        return flow.point(sigma: flow.shifted(1 + fraction * (least - 1)))
      } + [end.point(on: path)]
    }
    let last = path.timesteps.upperBound
    let intervals = division == .steps ? steps - 1 : steps
    // Closer together than integers are, two would become one.
    guard !rounds || Double(intervals) <= last else {
      throw .invalidSteps(found: steps, allowed: 1...(path.trainingTimesteps - 1))
    }
    return (0..<steps).map { index in
      let time = intervals == 0 ? 0 : last * Double(intervals - index) / Double(intervals)
      return path.point(at: rounds ? time.rounded(.toNearestOrEven) : time)
    } + [end.point(on: path)]
  }
}

/// Every (T/N)th timestep, counted down from the last.
///
/// diffusers' `trailing` (Lin et al. 2023, arXiv:2305.08891, table 2). On a rectified flow: sigma 1, (N-1)/N, ... 1/N,
/// shifted.
public struct TrailingGrid: Grid {
  public var steps: Int
  public var end: GridEnd

  public init(steps: Int, end: GridEnd = .clean) {
    self.steps = steps
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let times = (0..<steps).map { index in
      if let flow = path as? RectifiedFlow {
        return flow.point(sigma: flow.shifted(Double(steps - index) / Double(steps)))
      }
      let time = Double(path.trainingTimesteps) * Double(steps - index) / Double(steps)
      return path.point(at: time.rounded(.toNearestOrEven) - 1)
    }
    return times + [end.point(on: path)]
  }
}
