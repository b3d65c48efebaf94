import Quantization
import Tensors
import Testing

@Suite struct TransformTests {
  /// x wᵀ for `[rows, channels]` and `[outputs, channels]`.
  private func product(_ x: DoubleTensor, _ w: DoubleTensor) -> DoubleTensor {
    let (rows, outputs, channels) = (x.shape[0], w.shape[0], x.shape[1])
    var values: [Double] = []
    for row in 0..<rows {
      for output in 0..<outputs {
        values.append(
          (0..<channels).reduce(0) { $0 + x.values[row * channels + $1] * w.values[output * channels + $1] })
      }
    }
    return DoubleTensor(values, shape: [rows, outputs])
  }

  @Test(arguments: [1, 2, 4, 32, 256])
  func hadamardIsOrthogonalAndItsOwnInverse(_ size: Int) {
    let rotation = HadamardRotation(size: size)
    let (x, y) = (sample([3, size], seed: 1), sample([3, size], seed: 2))
    #expect(abs(rotation(x).innerProduct(rotation(y)) - x.innerProduct(y)) < 1e-9)
    #expect(rotation(rotation(x)).relativeError(to: x) < 1e-14)
    // The matrix itself: all entries of one magnitude, rows orthonormal.
    let identity = DoubleTensor(
      (0..<size * size).map { $0 / size == $0 % size ? 1 : 0 }, shape: [size, size])
    let matrix = rotation(identity)
    #expect(matrix.values.allSatisfy { abs(abs($0) - 1 / Double(size).squareRoot()) < 1e-15 })
    #expect(product(matrix, matrix).relativeError(to: identity) < 1e-13)
  }

  @Test func rotatedFactorsHaveTheSameProduct() {
    let (x, w) = (sample([9, 96]), sample([7, 96], seed: 3))
    let rotation = HadamardRotation(channels: 96)
    #expect(rotation.size == 32)
    #expect(product(rotation(x), rotation(w)).relativeError(to: product(x, w)) < 1e-13)
    #expect(HadamardRotation(channels: 77).size == 1)
    #expect(HadamardRotation(channels: 1024).size == 256)
  }

  /// An activation with outliers in a few channels, in four bits: the rotated one loses much less.
  @Test func rotationTamesOutliers() {
    var values = sample([32, 128]).values
    for row in 0..<32 { for channel in [3, 70] { values[row * 128 + channel] *= 50 } }
    let x = DoubleTensor(values, shape: [32, 128])
    let scheme = QuantizationScheme(bits: 4, granularity: .row)
    let rotation = HadamardRotation(size: 128)
    let plain: DoubleTensor = QuantizedTensor(x, scheme).dequantized()
    let rotated: DoubleTensor = QuantizedTensor(rotation(x), scheme).dequantized()
    let without = plain.signalToNoise(against: x)
    let with = rotation(rotated).signalToNoise(against: x)
    #expect(with > without, "\(with) dB and \(without) dB")
    // Of the ordinary channels, nothing is left without it.
    func ordinary(_ tensor: DoubleTensor) -> DoubleTensor {
      DoubleTensor(tensor.values.enumerated().filter { ![3, 70].contains($0.offset % 128) }.map(\.1))
    }
    #expect(ordinary(plain).signalToNoise(against: ordinary(x)) < 1)
  }

  @Test(arguments: [0, 0.3, 0.5, 1])
  func smoothingLeavesTheProductAsItIs(_ strength: Double) {
    let (x, w) = (sample([9, 40], outliers: true), sample([7, 40], seed: 3))
    var ranges = ActivationRanges(channels: 40)
    ranges.observe(x)
    #expect(ranges.rows == 9)
    let smoothing = Smoothing(activations: ranges.magnitudes, weights: w, strength: strength)
    let moved = product(smoothing.migrated(activations: x), smoothing.migrated(weights: w))
    #expect(moved.relativeError(to: product(x, w)) < 1e-14)
    let exact = Smoothing(activations: ranges.magnitudes, weights: w, strength: strength, usesPowersOfTwo: true)
    #expect(product(exact.migrated(activations: x), exact.migrated(weights: w)) == product(x, w))
  }

  @Test func halfOfTheRangeMovesAtHalfStrength() {
    let w = DoubleTensor([0.5, -2, 1, 1], shape: [2, 2])
    let smoothing = Smoothing(activations: [9, 32], weights: w)
    // √(9 / 1) and √(32 / 2): both sides then reach √(9 · 1) and √(32 · 2).
    #expect(zip(smoothing.factors, [3, 4]).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(Smoothing(activations: [0, 1], weights: w).factors[0] == 1)
  }

  @Test func smoothingHelpsWhereChannelsDiffer() {
    var values = sample([64, 48]).values
    for index in values.indices where index % 48 < 3 { values[index] *= 60 }
    let x = DoubleTensor(values, shape: [64, 48])
    let w = sample([16, 48], seed: 4)
    var ranges = ActivationRanges(channels: 48)
    ranges.observe(x)
    let smoothing = Smoothing(activations: ranges.magnitudes, weights: w)
    func rounded(_ x: DoubleTensor, _ w: DoubleTensor) -> DoubleTensor {
      product(
        QuantizedTensor(x, QuantizationScheme(symmetry: .affine, granularity: .row)).dequantized(),
        QuantizedTensor(w, QuantizationScheme(granularity: .channel)).dequantized())
    }
    let reference = product(x, w)
    let plain = rounded(x, w).signalToNoise(against: reference)
    let smooth = rounded(smoothing.migrated(activations: x), smoothing.migrated(weights: w))
      .signalToNoise(against: reference)
    #expect(smooth > plain, "\(smooth) dB and \(plain) dB")
  }

  @Test(arguments: [1, 2, 7, 50])
  func everyPartOfTheTrajectoryIsCalibrated(_ count: Int) {
    let times = CalibrationTimes.stratified(count, in: 10...910)
    #expect(times.count == count)
    for (index, time) in times.enumerated() {
      let width = 900 / Double(count)
      #expect(time >= 10 + Double(index) * width && time < 10 + Double(index + 1) * width)
    }
  }
}
