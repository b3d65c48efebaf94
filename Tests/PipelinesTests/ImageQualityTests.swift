import Foundation
import Pipelines
import Testing

@Suite struct ImageQualityTests {
  /// Levels of a linear congruence, so that tests repeat.
  private func texture(width: Int, height: Int, seed: UInt32 = 1) throws -> Image {
    var state = seed
    let pixels = (0..<width * height * 3).map { _ -> UInt8 in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
    return try Image(width: width, height: height, pixels: pixels)
  }

  private func changed(_ image: Image, _ change: (UInt8) -> UInt8) throws -> Image {
    try Image(width: image.width, height: image.height, pixels: image.pixels.map(change))
  }

  @Test(arguments: [(1, 1), (3, 17), (11, 11), (64, 32)])
  func equalImagesArePerfect(width: Int, height: Int) throws {
    let image = try texture(width: width, height: height)
    #expect(image.psnr(to: image) == .infinity)
    #expect(abs(image.ssim(to: image) - 1) < 1e-12)
  }

  @Test func psnrOfAConstantDifferenceIsItsDefinition() throws {
    let image = try changed(texture(width: 16, height: 12)) { $0 / 2 }
    for step in [1, 2, 5, 100] as [UInt8] {
      let expected = 20 * log10(255 / Double(step))
      #expect(abs(image.psnr(to: try changed(image) { $0 + step }) - expected) < 1e-9)
    }
  }

  @Test func blackAgainstWhiteIsZeroDecibels() throws {
    let black = try Image(width: 20, height: 20, pixels: Array(repeating: 0, count: 1200))
    let white = try changed(black) { _ in 255 }
    #expect(black.psnr(to: white) == 0)
    // Means 0 and 255 without variance: c1 / (255² + c1).
    #expect(abs(black.ssim(to: white) - 1e-4 / (1 + 1e-4)) < 1e-9)
  }

  @Test func bothAreSymmetricAndFallWithTheDifference() throws {
    let image = try changed(texture(width: 40, height: 24)) { $0 / 2 + 64 }
    let noise = try texture(width: 40, height: 24, seed: 77)
    var last = (Double.infinity, 1.0)
    for share in [8, 4, 2] {
      let pixels = zip(image.pixels, noise.pixels).map { UInt8(Int($0) + (Int($1) - 128) / share / 2) }
      let noisy = try Image(width: 40, height: 24, pixels: pixels)
      let (psnr, ssim) = (noisy.psnr(to: image), noisy.ssim(to: image))
      #expect(psnr == image.psnr(to: noisy))
      #expect(abs(ssim - image.ssim(to: noisy)) < 1e-12)
      #expect(psnr < last.0 && ssim < last.1)
      last = (psnr, ssim)
    }
  }

  /// A negative has the opposite structure, although its histogram may be the same.
  @Test func ssimOfANegativeIsNegative() throws {
    let image = try texture(width: 32, height: 32)
    #expect(image.ssim(to: try changed(image) { 255 - $0 }) < -0.5)
  }
}
