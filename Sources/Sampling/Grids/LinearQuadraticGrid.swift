/// Noise levels that fall evenly over the first half of the steps, and along a parabola over the rest.
///
/// The straight half takes away `threshold` of the highest level; the parabola goes on with the same slope and arrives
/// at 0 with the end of the grid, or at the lowest level where the last steps would pass it. Meta's Movie Gen,
/// arXiv:2410.13720, section 3.4.2; Mochi's and ComfyUI's `linear_quadratic`, where the threshold is 0.025.
public struct LinearQuadraticGrid: NoiseLevelGrid {
  public var steps: Int
  public var threshold: Double
  public var options: NoiseLevelOptions

  public init(steps: Int, threshold: Double = 0.025, options: NoiseLevelOptions = .init()) {
    self.steps = steps
    self.threshold = threshold
    self.options = options
  }

  public func levels(from highest: Double, to lowest: Double) throws(SamplingError) -> [Double] {
    guard threshold > 0, threshold < 0.5 else {
      throw .invalidOption(name: "the threshold", found: "\(threshold)", expected: "more than 0, less than 0.5")
    }
    let straight = steps / 2
    let curved = Double(steps - straight)
    let slope = threshold / Double(max(straight, 1))
    let bend = (1 - threshold - slope * curved) / (curved * curved)
    let falls = (0..<steps).map { index in
      let beyond = Double(index - straight)
      return index < straight ? slope * Double(index) : threshold + (slope + bend * beyond) * beyond
    }
    guard steps > 1 else { return [highest] }
    let floor = highest * (1 - falls[steps - 1]) > lowest ? 0 : lowest
    return falls.map { floor + (highest - floor) * (1 - $0) }
  }
}
