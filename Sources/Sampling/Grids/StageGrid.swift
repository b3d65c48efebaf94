/// A grid with further points inside each of its steps: where a singlestep solver is to have its stages.
///
/// The fractions are of the step in lambda. A step from alpha 0 or to sigma 0, which is infinite there, is left whole.
public struct StageGrid<Base: Grid>: Grid {
  public let base: Base
  public let fractions: [Double]

  /// - Parameter fractions: rising, each inside (0, 1): c₂, c₃ ... of a Runge-Kutta method.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)``.
  public init(_ base: Base, fractions: [Double]) throws(SamplingError) {
    guard zip([0] + fractions, fractions + [1]).allSatisfy(<) else {
      throw .invalidOption(name: "the stages", found: "\(fractions)", expected: "rising fractions inside (0, 1)")
    }
    self.base = base
    self.fractions = fractions
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    let points = try base.points(on: path)
    return zip(points, points.dropFirst()).flatMap { s, t in
      let h = t.lambda - s.lambda
      return [s] + (h.isFinite ? fractions.map { path.point(lambda: s.lambda + $0 * h) } : [])
    } + points.suffix(1)
  }
}
