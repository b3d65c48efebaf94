/// Which times a sampler visits.
public protocol Grid: Sendable {
  /// The times, noisiest first: one more than there are steps.
  ///
  /// - Throws: ``SamplingError`` where the path has no such times.
  func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint]
}

/// Where a grid ends.
public enum GridEnd: String, Hashable, Sendable, Codable {
  /// At sigma 0.
  case clean
  /// At the path's least noisy timestep, which leaves its noise in the image: DDIM's with `set_alpha_to_one` off,
  /// and the end that solvers in log sigma need.
  case leastNoise

  func point(on path: some NoisePath) -> TimePoint {
    switch self {
    case .clean: path.clean
    case .leastNoise: path.point(at: path.timesteps.lowerBound)
    }
  }
}

/// Refuses a number of steps that a path cannot be divided into.
func checkSteps(_ steps: Int, on path: some NoisePath) throws(SamplingError) {
  guard (1...path.trainingTimesteps).contains(steps) else {
    throw .invalidSteps(found: steps, allowed: 1...path.trainingTimesteps)
  }
}

/// `index` / (`count` - 1): where the points of an even division lie, both ends among them.
func evenFraction(_ index: Int, of count: Int) -> Double {
  count == 1 ? 0 : Double(index) / Double(count - 1)
}
