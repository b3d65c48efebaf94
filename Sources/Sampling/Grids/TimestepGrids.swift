/// How a timestep grid counts its divisions. diffusers has both ways.
public enum GridDivision: String, Hashable, Sendable, Codable {
  /// N points: DDIM, DDPM, Euler and Heun.
  case steps
  /// N + 1 points, of which the last is left out: DPM-Solver.
  case stepsAndEnd
}

/// Every (T/N)th timestep, counted up from the offset: the model's first steps are left out.
///
/// diffusers' `leading` (Lin et al. 2023, arXiv:2305.08891, table 2). T/N is rounded down for a model of whole
/// timesteps. An offset that would pass the last timestep is lowered to what fits.
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
    let (first, last) = (path.positions.lowerBound, path.positions.upperBound)
    let (divisions, lowest) = division == .steps ? (steps, 0) : (steps + 1, 1)
    let stride =
      path.hasWholeTimesteps
      ? ((last + 1) / Double(divisions)).rounded(.down) : (last - first) / Double(divisions)
    guard stride > 0 else { throw .invalidSteps(found: steps, allowed: 1...(path.trainingTimesteps - 1)) }
    let highest = first + Double(steps - 1 + lowest) * stride
    let offset = min(max(Double(offset), 0), max(last - highest, 0))
    return (0..<steps).map { path.point(position: highest - Double($0) * stride + offset) } + [end.point(on: path)]
  }
}

/// Timesteps evenly spaced from the last to the first. A single one is the last, where diffusers takes the first.
///
/// diffusers' `linspace`, and ComfyUI's `normal`. With an end counted as well, and left to ``end``, that of DPM-Solver
/// in diffusers; not rounded, ComfyUI's `sgm_uniform`. On a rectified flow its N points run from sigma 1 to the least
/// positive trained sigma, shifted.
public struct LinspaceGrid: Grid {
  public var steps: Int
  public var division: GridDivision
  /// Whether the timesteps of a model trained on whole ones are rounded to them; the step moves with them.
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
    let (first, last) = (path.positions.upperBound, path.positions.lowerBound)
    let rounds = rounds && path.hasWholeTimesteps
    let intervals = division == .steps ? steps - 1 : steps
    // Closer together than integers are, two would become one.
    guard !rounds || Double(intervals) <= first - last else {
      throw .invalidSteps(found: steps, allowed: 1...(path.trainingTimesteps - 1))
    }
    let stride = (first - last) / Double(max(intervals, 1))
    return (0..<steps).map { index in
      // Multiples of the stride, so that where a time lies between two integers it goes to the one of diffusers.
      let position = index == 0 ? first : last + Double(intervals - index) * stride
      return path.point(position: rounds ? position.rounded(.toNearestOrEven) : position)
    } + [end.point(on: path)]
  }
}

/// Every (T/N)th timestep, counted down from the last.
///
/// diffusers' `trailing` (Lin et al. 2023, arXiv:2305.08891, table 2). On a rectified flow: sigma 1, (N-1)/N, ... 1/N,
/// shifted.
public struct TrailingGrid: Grid {
  public var steps: Int
  /// How many of the last timesteps are left out. 1 on a rectified flow gives diffusers' `use_flow_sigmas`, whose first
  /// sigma is below 1 so that lambda is finite.
  public var omitted: Int
  public var end: GridEnd

  public init(steps: Int, omitted: Int = 0, end: GridEnd = .clean) {
    self.steps = steps
    self.omitted = omitted
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    guard (0..<path.trainingTimesteps).contains(omitted) else {
      throw .invalidOption(
        name: "the timesteps left out", found: "\(omitted)", expected: "0 to \(path.trainingTimesteps - 1)")
    }
    guard steps <= path.trainingTimesteps - omitted else {
      throw .invalidSteps(found: steps, allowed: 1...(path.trainingTimesteps - omitted))
    }
    let clean = path.cleanPosition
    let count = min(path.positions.upperBound, Double(path.trainingTimesteps - 1 - omitted)) - clean
    return (0..<steps).map { index in
      let above = count * Double(steps - index) / Double(steps)
      return path.point(position: clean + (path.hasWholeTimesteps ? above.rounded(.toNearestOrEven) : above))
    } + [end.point(on: path)]
  }
}

/// Every (T/N)th timestep, counted down from the last and rounded up where it is not whole: ComfyUI's `simple`.
public struct SimpleGrid: Grid {
  public var steps: Int
  public var end: GridEnd

  public init(steps: Int, end: GridEnd = .clean) {
    self.steps = steps
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let last = path.positions.upperBound
    return (0..<steps).map { index in
      let down = Double(index) * (last - path.cleanPosition) / Double(steps)
      return path.point(position: last - (path.hasWholeTimesteps ? down.rounded(.down) : down))
    } + [end.point(on: path)]
  }
}
