import RealModule

/// Noise levels whose arctangents are evenly spaced.
///
/// Sabour, Fidler and Kreis 2024, arXiv:2404.14507: the grid that minimises their bound for Gaussian data of variance
/// 1.
public struct KLOptimalGrid: NoiseLevelGrid {
  public var steps: Int
  public var options: NoiseLevelOptions

  public init(steps: Int, options: NoiseLevelOptions = .init()) {
    self.steps = steps
    self.options = options
  }

  public func levels(from highest: Double, to lowest: Double) -> [Double] {
    let (from, to) = (Double.atan(highest), Double.atan(lowest))
    return spread(from: highest, to: lowest) { .tan(from + $0 * (to - from)) }
  }
}
