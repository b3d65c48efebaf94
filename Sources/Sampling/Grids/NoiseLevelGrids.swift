import RealModule

/// Noise levels σ̂ = sigma / alpha whose ρth roots are evenly spaced, ρ being 7.
///
/// Karras et al. 2022, arXiv:2206.00364, eq. 5. The model is told the exact time of each level.
public struct KarrasGrid: Grid {
  public var steps: Int
  public var rho: Double
  /// Tells the model the nearest integer time, while the step stays where it is: as diffusers does, up to 4 % off.
  public var tellsRoundedTimes: Bool
  public var end: GridEnd

  public init(steps: Int, rho: Double = 7, tellsRoundedTimes: Bool = false, end: GridEnd = .clean) {
    self.steps = steps
    self.rho = rho
    self.tellsRoundedTimes = tellsRoundedTimes
    self.end = end
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    guard rho > 0, rho.isFinite else {
      throw .invalidOption(name: "rho", found: "\(rho)", expected: "a positive number")
    }
    let (highest, lowest) = try noiseLevels(of: path)
    let (from, to) = (Double.pow(highest, 1 / rho), Double.pow(lowest, 1 / rho))
    return (0..<steps).map { index in
      let fraction = steps == 1 ? 0 : Double(index) / Double(steps - 1)
      var point = path.point(lambda: -.log(.pow(from + fraction * (to - from), rho)))
      if tellsRoundedTimes { point.timestep = point.timestep.rounded(.toNearestOrEven) }
      return point
    } + [end.point(on: path)]
  }
}

/// Evenly spaced in lambda, down to the path's least noise: the papers' `logSNR`, on which multistep solvers have
/// equal steps.
public struct UniformLambdaGrid: Grid {
  public var steps: Int

  public init(steps: Int) {
    self.steps = steps
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let (highest, lowest) = try noiseLevels(of: path)
    let (from, to) = (-Double.log(highest), -Double.log(lowest))
    return (0...steps).map { path.point(lambda: from + (to - from) * Double($0) / Double(steps)) }
  }
}

/// The highest and the lowest σ̂ of a path that has finite ones.
private func noiseLevels(of path: some NoisePath) throws(SamplingError) -> (highest: Double, lowest: Double) {
  let highest = path.point(at: path.timesteps.upperBound).noiseToSignal
  let lowest = path.point(at: path.timesteps.lowerBound).noiseToSignal
  guard highest.isFinite, lowest > 0 else {
    throw .invalidGrid("is spaced in log sigma / alpha, and the path's ends have none: \(highest), \(lowest)")
  }
  return (highest, lowest)
}
