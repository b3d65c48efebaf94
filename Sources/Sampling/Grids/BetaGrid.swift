/// Points at the quantiles of a beta distribution, Beta(0.6, 0.6) by default: dense at both ends.
///
/// Lee, Lee et al. 2024, "Beta Sampling is All You Need", arXiv:2407.12173.
public struct BetaGrid: Grid {
  /// What is distributed so.
  public enum Variable: String, Hashable, Sendable, Codable, CaseIterable {
    /// The time, as in the paper and ComfyUI.
    case time
    /// The noise level: diffusers' `use_beta_sigmas`.
    case noiseLevel
  }

  public var steps: Int
  public var alpha: Double
  public var beta: Double
  public var variable: Variable
  public var options: NoiseLevelOptions

  /// - Parameter options: the range is that of noise levels, and is refused with `.time`.
  public init(
    steps: Int, alpha: Double = 0.6, beta: Double = 0.6, variable: Variable = .noiseLevel,
    options: NoiseLevelOptions = .init()
  ) {
    self.steps = steps
    self.alpha = alpha
    self.beta = beta
    self.variable = variable
    self.options = options
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    for (name, value) in [("alpha", alpha), ("beta", beta)] where !(value > 0 && value <= 1000) {
      throw .invalidOption(name: "the beta distribution's \(name)", found: "\(value)", expected: "0 to 1000, not 0")
    }
    switch variable {
    case .noiseLevel:
      return try Levels(steps: steps, options: options, alpha: alpha, beta: beta).points(on: path)
    case .time:
      guard options.range == nil else {
        throw .invalidOption(
          name: "the range of noise levels", found: "a range", expected: "none for a grid of times")
      }
      let last = path.positions.upperBound
      let points = (0..<steps).map {
        path.point(position: betaQuantile(1 - Double($0) / Double(steps), a: alpha, b: beta) * last)
      }
      return try options.times.applied(to: points, on: path) + [options.end.point(on: path)]
    }
  }

  private struct Levels: NoiseLevelGrid {
    let steps: Int
    let options: NoiseLevelOptions
    let alpha: Double
    let beta: Double

    func levels(from highest: Double, to lowest: Double) -> [Double] {
      spread(from: highest, to: lowest) { lowest + betaQuantile(1 - $0, a: alpha, b: beta) * (highest - lowest) }
    }
  }
}
