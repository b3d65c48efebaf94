import RealModule

/// The noise levels that "Align Your Steps" found for three models, at 10 steps, and between them for other numbers.
///
/// Sabour, Fidler and Kreis 2024, arXiv:2404.14507. Other lengths interpolate the logarithm of the levels linearly, as
/// the authors do. A path with less noise than the first level enters the curve where its own noise lies on it, and
/// leaves it likewise; below the last level the logarithms are even.
public struct AlignYourStepsGrid: NoiseLevelGrid {
  public enum Table: String, Hashable, Sendable, Codable, CaseIterable {
    case stableDiffusion15 = "sd15"
    case stableDiffusionXL = "sdxl"
    case stableVideoDiffusion = "svd"

    /// Eleven levels σ̂, for ten steps: the last is where the authors put the end.
    public var levels: [Double] {
      switch self {
      case .stableDiffusion15:
        [
          14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904,
          0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
        ]
      case .stableDiffusionXL:
        [
          14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
          0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
        ]
      case .stableVideoDiffusion: [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002]
      }
    }
  }

  public var steps: Int
  public var table: Table
  public var options: NoiseLevelOptions

  public init(steps: Int, table: Table, options: NoiseLevelOptions = .init()) {
    self.steps = steps
    self.table = table
    self.options = options
  }

  public func levels(from highest: Double, to lowest: Double) -> [Double] {
    let curve = table.levels
    guard highest > curve[10] else { return ExponentialGrid(steps: steps).evenLevels(from: highest, to: lowest) }
    // Where on the curve, counted in its points, a level is met.
    func position(of level: Double) -> Double {
      guard let below = curve.firstIndex(where: { $0 < level }) else { return 10 }
      return below == 0 ? 0 : Double(below) - .log(level / curve[below]) / .log(curve[below - 1] / curve[below])
    }
    let (start, stop) = (position(of: highest), position(of: lowest))
    return (0..<steps).map { step in
      let position = start + (stop - start) * Double(step) / Double(steps)
      let left = min(Int(position), 9)
      let fraction = position - Double(left)
      let level = fraction == 0 ? curve[left] : curve[left] * .exp(fraction * .log(curve[left + 1] / curve[left]))
      return min(max(level, lowest), highest)
    }
  }
}
