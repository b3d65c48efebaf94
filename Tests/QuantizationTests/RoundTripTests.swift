import Quantization
import Tensors
import Testing

/// Normal numbers with a few outliers, so that ranges differ from group to group.
func sample(_ shape: Shape, seed: UInt64 = 1, outliers: Bool = false) -> DoubleTensor {
  var values = DoubleTensor(noise: NoiseField(seed: seed), shape: shape).values
  if outliers { for index in stride(from: 5, to: values.count, by: 97) { values[index] *= 20 } }
  return DoubleTensor(values, shape: shape)
}

@Suite struct RoundTripTests {
  static let granularities: [Granularity] = [
    .tensor, .channel, .row, .block(32), .block(7), .block(1000), .parts([10, 22, 1]),
  ]

  @Test(arguments: granularities, [[33], [5, 33], [3, 4, 33], [1, 1, 33]])
  func groupsTileTheTensor(_ granularity: Granularity, _ dimensions: [Int]) {
    let shape = Shape(dimensions)
    var end = 0
    for group in granularity.groups(of: shape) {
      #expect(group.lowerBound == end && !group.isEmpty)
      end = group.upperBound
    }
    #expect(end == shape.count)
    #expect(granularity.groups(of: [0, 33]).isEmpty)
  }

  @Test(arguments: granularities, LevelSymmetry.allCases)
  func errorsStayBelowHalfAStep(_ granularity: Granularity, _ symmetry: LevelSymmetry) {
    for bits in 2...8 {
      let tensor = sample([4, 3, 33], seed: UInt64(bits), outliers: true)
      let quantized = QuantizedTensor(
        tensor, QuantizationScheme(bits: bits, symmetry: symmetry, granularity: granularity))
      let result: DoubleTensor = quantized.dequantized()
      for (group, scale) in zip(granularity.groups(of: tensor.shape), quantized.scales) {
        // An affine zero is rounded by up to half a level, and the ends are pushed out by as much.
        let bound = scale.step * (symmetry == .symmetric ? 0.5 : 1) * (1 + 1e-12)
        for index in group {
          #expect(abs(result.values[index] - tensor.values[index]) <= bound)
          #expect(scale.levels.contains(Int(quantized.levels[index])))
        }
      }
    }
  }

  @Test(arguments: LevelSymmetry.allCases, [RangeObserver.absmax, .percentile(0.99), .meanSquaredError])
  func zeroIsExactAndQuantizingAgainChangesNothing(_ symmetry: LevelSymmetry, _ observer: RangeObserver) {
    var values = sample([6, 40], outliers: true).values.map { $0 + 2 }
    for index in stride(from: 0, to: values.count, by: 9) { values[index] = 0 }
    for index in 40..<80 { values[index] = 0 }
    let tensor = DoubleTensor(values, shape: [6, 40])
    let quantized = QuantizedTensor(tensor, QuantizationScheme(symmetry: symmetry, observer: observer))
    let result: DoubleTensor = quantized.dequantized()
    for index in values.indices where values[index] == 0 { #expect(result.values[index] == 0) }
    for (index, level) in quantized.levels.enumerated() {
      #expect(quantized.scales[index / 40].level(of: result.values[index]) == Int(level))
    }
  }

  @Test func extremesThatHaveNoStepBecomeZero() {
    let scale = LevelSymmetry.symmetric.scale(covering: -.infinity...1, bits: 8)
    #expect(scale.step == 0 && scale.rounded(3) == 0)
    #expect(LevelSymmetry.affine.scale(covering: 0...0, bits: 8).rounded(1) == 0)
    #expect(LevelSymmetry.affine.scale(covering: -1...1, bits: 8).rounded(.nan) == 0)
    #expect(LevelSymmetry.affine.scale(covering: -1...1, bits: 8).level(of: .infinity) == 255)
  }

  @Test(arguments: LevelSymmetry.allCases, [2, 3, 4, 8])
  func theBestRangeBeatsTheWholeOne(_ symmetry: LevelSymmetry, _ bits: Int) {
    for seed in 1...8 {
      let tensor = sample([4, 256], seed: UInt64(seed), outliers: seed.isMultiple(of: 2))
      func error(_ observer: RangeObserver) -> Double {
        let quantized = QuantizedTensor(
          tensor, QuantizationScheme(bits: bits, symmetry: symmetry, observer: observer))
        let difference = DoubleTensor.combining((1, quantized.dequantized()), (-1, tensor))
        return difference.innerProduct(difference)
      }
      #expect(error(.meanSquaredError) <= error(.absmax))
      #expect(error(.meanSquaredError) <= error(.percentile(0.999)) * 1.02)
      // Few levels for a normal distribution without outliers: its tails are worth less than finer steps.
      if bits <= 4, !seed.isMultiple(of: 2) { #expect(error(.meanSquaredError) < 0.95 * error(.absmax)) }
    }
  }

  @Test func finerGroupsLoseLess() {
    let tensor = sample([8, 4, 64], outliers: true)
    let ratios = [Granularity.tensor, .channel, .row, .block(16)].map { granularity in
      let quantized = QuantizedTensor(tensor, QuantizationScheme(granularity: granularity))
      return quantized.dequantized(as: DoubleTensor.self).signalToNoise(against: tensor)
    }
    #expect(ratios == ratios.sorted() && ratios[3] > ratios[0] + 6, "\(ratios)")
  }

  /// A skip's half a hundred times smaller drowns in the steps of the other, unless it has its own.
  @Test func halvesOfAConcatenationKeepTheirPrecision() {
    var values = sample([50, 64]).values
    for index in values.indices where index % 64 >= 24 { values[index] /= 200 }
    let tensor = DoubleTensor(values, shape: [50, 64])
    func small(_ granularity: Granularity) -> Double {
      let result: DoubleTensor = QuantizedTensor(
        tensor, QuantizationScheme(symmetry: .affine, granularity: granularity)
      ).dequantized()
      let kept = values.indices.filter { $0 % 64 >= 24 }
      return DoubleTensor(kept.map { result.values[$0] })
        .signalToNoise(against: DoubleTensor(kept.map { values[$0] }))
    }
    #expect(small(.row) < 12)
    #expect(small(.parts([24, 40])) > 38)
  }

  @Test func signalToNoiseIsItsDefinition() {
    let reference = DoubleTensor([3, 4])
    #expect(abs(DoubleTensor([3, 4.5]).signalToNoise(against: reference) - 20) < 1e-12)
    #expect(reference.signalToNoise(against: reference) == .infinity)
  }
}
