import Foundation

/// How near an image is to another of the same size, such as the one that the same seed gives in single precision.
extension Image {
  /// The peak signal-to-noise ratio in decibels, 10 log₁₀(255² / mean squared difference) over all values; infinite for
  /// equal images.
  ///
  /// - Precondition: the sizes are equal.
  public func psnr(to reference: Image) -> Double {
    precondition(width == reference.width && height == reference.height, "images of two sizes")
    let squares = zip(pixels, reference.pixels).reduce(0) { sum, pair in
      let difference = Int(pair.0) - Int(pair.1)
      return sum + difference * difference
    }
    return 10 * log10(255 * 255 * Double(pixels.count) / Double(squares))
  }

  /// The mean structural similarity, 1 for equal images: that of each colour by itself, averaged.
  ///
  /// Wang et al. 2004, doi:10.1109/TIP.2003.819861, section III: a Gaussian window of 11 x 11 with σ = 1.5 at every
  /// place where it lies in the image, K₁ = 0.01, K₂ = 0.03. In images smaller than that the window is cut to their
  /// sides.
  ///
  /// - Precondition: the sizes are equal.
  public func ssim(to reference: Image) -> Double {
    precondition(width == reference.width && height == reference.height, "images of two sizes")
    let (c1, c2) = (0.01 * 255 * 0.01 * 255, 0.03 * 255 * 0.03 * 255)
    var sum = 0.0
    for colour in 0..<3 {
      let x = plane(colour)
      let y = reference.plane(colour)
      let (meanX, meanY) = (smoothed(x), smoothed(y))
      let squaresX = smoothed(zip(x, x).map(*))
      let squaresY = smoothed(zip(y, y).map(*))
      let products = smoothed(zip(x, y).map(*))
      let values = meanX.indices.map { index in
        let (mx, my) = (meanX[index], meanY[index])
        let variances = squaresX[index] - mx * mx + squaresY[index] - my * my
        let covariance = products[index] - mx * my
        return (2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (variances + c2))
      }
      sum += values.reduce(0, +) / Double(values.count)
    }
    return sum / 3
  }

  private func plane(_ colour: Int) -> [Double] {
    stride(from: colour, to: pixels.count, by: 3).map { Double(pixels[$0]) }
  }

  /// The windowed means of `[height, width]`, where the whole window lies inside.
  private func smoothed(_ values: [Double]) -> [Double] {
    let across = Self.window(atMost: width)
    let down = Self.window(atMost: height)
    let columns = width - across.count + 1
    var rows = [Double](repeating: 0, count: height * columns)
    for y in 0..<height {
      for x in 0..<columns {
        for tap in across.indices { rows[y * columns + x] += across[tap] * values[y * width + x + tap] }
      }
    }
    var result = [Double](repeating: 0, count: (height - down.count + 1) * columns)
    for index in result.indices {
      for tap in down.indices { result[index] += down[tap] * rows[index + tap * columns] }
    }
    return result
  }

  /// Weights that sum to 1.
  private static func window(atMost size: Int) -> [Double] {
    let count = min(size, 11)
    let centre = Double(count - 1) / 2
    let weights = (0..<count).map { index in
      let distance = (Double(index) - centre) / 1.5
      return exp(-distance * distance / 2)
    }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }
}
