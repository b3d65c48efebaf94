/// Restart sampling: part of the way is repeated, each time from where fresh noise has taken the state back.
///
/// Xu et al. 2023, arXiv:2306.14878, algorithm 1. The noise contracts the errors that were made before, and the
/// deterministic solver makes few new ones. Between two levels of noise the state is noised up with variance
/// sigma_max² - sigma_min² in units of alpha, and the base solver takes it down again over the same points of the grid.
public struct Restart<Base: Solver>: Solver {
  public let base: Base
  /// Noise levels sigma / alpha; the points of the grid nearest to its ends are taken.
  public let levels: ClosedRange<Double>
  /// How often, K.
  public let cycles: Int

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for levels that are not positive and finite or
  ///   cycles outside 1...1000.
  public init(_ base: Base, levels: ClosedRange<Double>, cycles: Int) throws(SamplingError) {
    guard levels.lowerBound > 0, levels.upperBound.isFinite, levels.lowerBound < levels.upperBound else {
      throw .invalidOption(name: "the restart levels", found: "\(levels)", expected: "two positive numbers")
    }
    guard (1...1000).contains(cycles) else {
      throw .invalidOption(name: "the restart cycles", found: "\(cycles)", expected: "1 to 1000")
    }
    self.base = base
    self.levels = levels
    self.cycles = cycles
  }

  public var name: String { "\(base.name)-restart" }
  public var order: Int? { nil }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    let points = steps.points
    func nearest(_ level: Double) -> Int {
      points.indices.dropLast(points[points.count - 1].isClean ? 1 : 0)
        .min { abs(points[$0].noiseToSignal - level) < abs(points[$1].noiseToSignal - level) } ?? 0
    }
    let (first, last) = (nearest(levels.upperBound), nearest(levels.lowerBound))
    guard first < last else {
      throw .incompatible(solver: name, reason: "its grid has no two points between the levels \(levels)")
    }
    try base.compile(steps.part(0...last), into: &plan)
    let (top, bottom) = (points[first], points[last])
    let rise = top.noiseToSignal * top.noiseToSignal - bottom.noiseToSignal * bottom.noiseToSignal
    for _ in 0..<cycles {
      plan.move(top.alpha / bottom.alpha * .state + top.alpha * rise.squareRoot() * .noise)
      try plan.withinStep { plan throws(SamplingError) in
        try base.compile(steps.part(first...last), into: &plan)
      }
    }
    if last < steps.count { try base.compile(steps.part(last...steps.count), into: &plan) }
  }
}
