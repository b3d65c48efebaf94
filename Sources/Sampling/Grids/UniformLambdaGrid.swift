/// Evenly spaced in lambda, down to the path's least noise: the papers' `logSNR`, on which multistep solvers have
/// equal steps.
public struct UniformLambdaGrid: Grid {
  public var steps: Int
  /// From the least lambda to the greatest; nil takes the path's ends, which must be finite.
  public var range: ClosedRange<Double>?

  public init(steps: Int, range: ClosedRange<Double>? = nil) {
    self.steps = steps
    self.range = range
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    try checkSteps(steps, on: path)
    let (from, to) = (path.noisiest.lambda, path.point(at: path.timesteps.lowerBound).lambda)
    if let range, !(range.lowerBound >= from && range.upperBound <= to) {
      throw .invalidOption(name: "the range of lambda", found: "\(range)", expected: "within \(from)...\(to)")
    }
    let (first, last) = (range?.lowerBound ?? from, range?.upperBound ?? to)
    guard first.isFinite, last.isFinite else {
      throw .invalidGrid("is spaced in lambda, which is \(first) and \(last) at the path's ends")
    }
    return (0...steps).map { path.point(lambda: first + (last - first) * Double($0) / Double(steps)) }
  }
}
