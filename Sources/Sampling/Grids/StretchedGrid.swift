/// Another grid on a straight path, stretched so that its last sigma before the clean end is `terminal`.
///
/// The distances from the first sigma, usually 1, are all multiplied by one number: diffusers' `shift_terminal`, after
/// LTX-Video (HaCohen et al. 2024, arXiv:2501.00103). A grid of one step, whose last sigma is its first, stays as it
/// is: diffusers divides by zero there (its issue 14411).
public struct StretchedGrid<Base: Grid>: Grid {
  public var base: Base
  public var terminal: Double

  public init(_ base: Base, terminal: Double) {
    self.base = base
    self.terminal = terminal
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    let points = try base.points(on: path)
    let noisy = points.prefix { !$0.isClean }
    guard noisy.allSatisfy({ abs($0.alpha + $0.sigma - 1) < 1e-9 }) else {
      throw .invalidGrid("can be stretched to a terminal sigma on a straight path only")
    }
    guard let first = noisy.first, let last = noisy.last, last.sigma < first.sigma else { return points }
    guard terminal > 0, terminal < first.sigma else {
      throw .invalidOption(
        name: "the terminal sigma", found: "\(terminal)", expected: "more than 0, less than \(first.sigma)")
    }
    let scale = (first.sigma - terminal) / (first.sigma - last.sigma)
    let stretched = noisy.map { point in
      point == first ? point : path.point(level: first.sigma - scale * (first.sigma - point.sigma))
    }
    return stretched + points.dropFirst(noisy.count)
  }
}
