import Foundation

/// How near images are to others, one by one: in decibels where nothing else is said.
public struct ImageComparison: Hashable, Sendable, Codable {
  public let images: Int
  /// Of the mean squared difference over all values; infinite for equal images.
  public let psnr: Double
  /// Of the image that differs most.
  public let worstPSNR: Double
  /// The mean of the images' own; nil where all are equal.
  public let meanPSNR: Double?
  /// The mean structural similarity.
  public let ssim: Double
  /// Images without a difference.
  public let identical: Int

  /// - Precondition: there are as many references as images, one or more, of the same sizes.
  public init(_ images: [Image], with references: [Image]) {
    precondition(images.count == references.count && !images.isEmpty)
    let ratios = zip(images, references).map { $0.psnr(to: $1) }
    let finite = ratios.filter(\.isFinite)
    self.images = images.count
    psnr = -10 * log10(ratios.reduce(0) { $0 + pow(10, -$1 / 10) } / Double(ratios.count))
    worstPSNR = ratios.min()!
    meanPSNR = finite.isEmpty ? nil : finite.reduce(0, +) / Double(finite.count)
    ssim = zip(images, references).reduce(0) { $0 + $1.0.ssim(to: $1.1) } / Double(images.count)
    identical = ratios.count { $0 == .infinity }
  }
}
