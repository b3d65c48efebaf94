import RealModule

/// Noise levels whose ρth roots are evenly spaced, ρ being 7.
///
/// Karras et al. 2022, arXiv:2206.00364, eq. 5.
public struct KarrasGrid: NoiseLevelGrid {
  public var steps: Int
  public var rho: Double
  public var options: NoiseLevelOptions

  public init(steps: Int, rho: Double = 7, options: NoiseLevelOptions = .init()) {
    self.steps = steps
    self.rho = rho
    self.options = options
  }

  /// - Parameter end: where the grid ends; the other options are the usual ones.
  public init(steps: Int, rho: Double = 7, end: GridEnd) {
    self.init(steps: steps, rho: rho, options: .init(end: end))
  }

  public func levels(from highest: Double, to lowest: Double) throws(SamplingError) -> [Double] {
    try checkExponent(rho)
    let (from, to) = (Double.pow(highest, 1 / rho), Double.pow(lowest, 1 / rho))
    return spread(from: highest, to: lowest) { .pow(from + $0 * (to - from), rho) }
  }
}
