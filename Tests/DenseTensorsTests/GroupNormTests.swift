import CKernels
import DenseTensors
import Tensors
import Testing

extension KernelTests {
  /// Against the definition, from one pixel to many pieces of work, also about a mean thousands of deviations away.
  @Test(arguments: [(1, 1), (3, 9), (2, 4500)], [0, 100, 1e4, -1e4] as [Float])
  func groupNorm(_ size: (images: Int, rows: Int), _ offset: Float) {
    let (images, rows, channels) = (size.images, size.rows, 12)
    var numbers = TestNumbers(seed: UInt64(rows))
    let input = DenseTensor(
      numbers.array(images * rows * channels).map { $0 + offset }, shape: [images, rows, channels])
    let (gain, shift) = (numbers.array(channels), numbers.array(channels))
    let norm = NormParameters(gain: gain, shift: shift, epsilon: 1e-5)
    let (scales, shifts) = (numbers.array(images * channels), numbers.array(images * channels))
    for (groups, silu, hasScale, hasShift) in [
      (1, false, false, false), (3, true, false, true), (4, false, true, false), (12, true, true, true),
    ] {
      let result = input.groupNormalized(
        norm, groups: groups, silu: silu, imageScale: hasScale ? DenseTensor(scales, shape: [images, channels]) : nil,
        imageShift: hasShift ? DenseTensor(shifts, shape: [images, channels]) : nil)
      #expect(result.shape == input.shape)
      let (elements, found) = (input.elements, result.elements)
      var worst = 0.0
      for image in 0..<images {
        for group in 0..<groups {
          let width = channels / groups
          let members = (0..<rows).flatMap { row in
            (0..<width).map { (image * rows + row) * channels + group * width + $0 }
          }
          let count = Double(members.count)
          let mean = members.reduce(0) { $0 + Double(elements[$1]) } / count
          let variance =
            members.reduce(0) { $0 + (Double(elements[$1]) - mean) * (Double(elements[$1]) - mean) } / count
          let total = variance + Double(Float(1e-5))
          // The variance is a difference of squares, summed in double precision.
          let varianceError = (mean * mean + variance) * (4 + count.squareRoot()) * 0x1p-53 / total
          for index in members {
            let channel = index % channels
            let extra = hasScale ? 1 + Double(scales[image * channels + channel]) : 1
            let added = hasShift ? Double(shifts[image * channels + channel]) : 0
            let factor = Double(gain[channel]) / total.squareRoot() * extra
            let product = Double(elements[index]) * factor
            let summand = (Double(shift[channel]) - mean / total.squareRoot() * Double(gain[channel])) * extra + added
            let expected = silu ? Self.activation(FS_SILU, product + summand) : product + summand
            // Factor, summand, product and sum are rounded to float: with a large mean as if the input had been.
            let linearError =
              roundoff * (2 * abs(product) + abs(summand) + abs(product + summand))
              + abs(Double(elements[index]) - mean) * abs(factor) * varianceError
            let bound =
              silu ? 1.1 * linearError + Self.activationError(FS_SILU, product + summand) : linearError
            worst = max(worst, abs(Double(found[index]) - expected) / max(bound * 1.0001, leastNormal))
          }
        }
      }
      #expect(worst <= 1, "\(groups) groups")
    }
  }

  /// The groups of an image have mean 0 and variance 1, and nothing of the others in them.
  @Test func groupNormDoesNotMixImages() {
    var numbers = TestNumbers()
    let first = DenseTensor(numbers.array(49 * 8), shape: [7, 7, 8])
    let norm = NormParameters(
      gain: Array(repeating: 1, count: 8), shift: Array(repeating: 0, count: 8), epsilon: 0)
    let alone = DenseTensor.stacking([first]).groupNormalized(norm, groups: 2)[outer: 0]
    for scale: Float in [1e-3, 1, 1e6] {
      let both = DenseTensor.stacking([first.affine(scale: scale, shift: 0), first]).groupNormalized(norm, groups: 2)
      #expect(both[outer: 1] == alone)
      // And a group's scale is divided out.
      for (found, expected) in zip(both[outer: 0].elements, alone.elements) { #expect(abs(found - expected) < 1e-6) }
    }
  }
}
