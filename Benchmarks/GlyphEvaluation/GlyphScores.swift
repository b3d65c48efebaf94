import Fewstep

/// How well a set of pictures shows what their prompts asked for, and how like real ones they are. Shares are 0 to 1.
public struct GlyphScores: Sendable, Codable {
  public let images: Int
  /// To real pictures; biased upwards for few images, so that only equal numbers compare. nil below 64 images, where
  /// the covariance of 64 features means nothing.
  public let frechet: Double?
  public let character: Double
  public let foreground: Double
  public let background: Double
  /// Character and both colours.
  public let allThree: Double
  public let degraded: Double
  public let saturation: Double
  public let clipped: Double

  /// - Parameter prompts: of each picture, in order.
  /// - Throws: `SymmetricEigensystem.Failure` where the pictures' features are not finite.
  public init(
    _ readings: [GlyphEvaluator.Reading], prompts: [GlyphPrompt], against real: FeatureStatistics
  ) throws(SymmetricEigensystem.Failure) {
    func share(_ isRight: (GlyphEvaluator.Reading, GlyphPrompt) -> Bool) -> Double {
      Double(zip(readings, prompts).count { isRight($0, $1) }) / Double(readings.count)
    }
    images = readings.count
    frechet =
      readings.count < 64 ? nil : try FeatureStatistics(of: readings.map(\.features)).frechetDistance(to: real)
    character = share { $0.labels[.char] == $1.character }
    foreground = share { $0.labels[.fg] == $1.foreground }
    background = share { $0.labels[.bg] == $1.background }
    allThree = share {
      $0.labels[.char] == $1.character && $0.labels[.fg] == $1.foreground && $0.labels[.bg] == $1.background
    }
    degraded = share { reading, _ in reading.isDegraded }
    saturation = readings.reduce(0) { $0 + $1.saturation } / Double(readings.count)
    clipped = readings.reduce(0) { $0 + $1.clipped } / Double(readings.count)
  }
}
