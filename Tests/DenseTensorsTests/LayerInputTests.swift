import DenseTensors
import Tensors
import Testing

/// Norms that write what the layer after them reads, against norms of floats: the layer gives the same bits.
extension KernelTests {
  @Test(arguments: instructionSets, WeightFormat.allCases)
  func linearLayerAfterItsNorm(_ set: String, _ format: WeightFormat) {
    withInstructionSet(set) {
      for (rows, channels, outputs) in [(70, 320, 96), (1, 64, 33), (300, 45, 32), (13, 5000, 32)] {
        var numbers = TestNumbers(seed: UInt64(channels))
        let input = DenseTensor(numbers.array(2 * rows * channels), shape: [2, rows, channels])
        let norm = norm(channels, &numbers)
        let weights = weights(outputs, channels, (1, 1), format, &numbers)
        let residual = DenseTensor(numbers.array(2 * rows * outputs), shape: [2, rows, outputs])
        let made = input.layerNormalized(norm, for: weights)
        #expect(made.shape == input.shape)
        #expect(
          made.linear(weights, residual: residual) == input.layerNormalized(norm).linear(weights, residual: residual))
        // In another shape the rows are the same.
        #expect(
          made.reshaped([2 * rows, channels]).linear(weights)
            == input.layerNormalized(norm).linear(weights).reshaped([2 * rows, outputs]))
      }
    }
  }

  @Test(arguments: instructionSets, WeightFormat.allCases)
  func convolutionAfterItsNorm(_ set: String, _ format: WeightFormat) {
    withInstructionSet(set) {
      let geometries: [ConvolutionGeometry] = [
        .init(padding: .init(1)), .init(stride: 2, padding: .init(bottom: 1, right: 1)),
        .init(padding: .init(1), upsampling: 2),
      ]
      for (height, width, channels, outputs) in [(16, 16, 64, 40), (9, 7, 32, 32), (5, 64, 96, 3), (3, 8, 192, 33)] {
        var numbers = TestNumbers(seed: UInt64(width))
        let input = DenseTensor(numbers.array(2 * height * width * channels), shape: [2, height, width, channels])
        let norm = norm(channels, &numbers)
        let weights = weights(outputs, channels, (3, 3), format, &numbers)
        let scale = DenseTensor(numbers.array(2 * channels), shape: [2, channels])
        let frozen = input[outer: 0].reshaped([1, height, width, channels]).frozenNorm(norm, groups: 8)
        for geometry in geometries {
          #expect(
            input.groupNormalized(norm, groups: 8, silu: true, imageScale: scale, for: weights, geometry)
              .convolved(with: weights, geometry)
              == input.groupNormalized(norm, groups: 8, silu: true, imageScale: scale)
              .convolved(with: weights, geometry))
          #expect(
            input.normalized(frozen, silu: false, for: weights, geometry).convolved(with: weights, geometry)
              == input.normalized(frozen, silu: false).convolved(with: weights, geometry))
        }
      }
    }
  }

  /// A gated layer that writes what the next one reads, against one that writes floats.
  @Test(arguments: instructionSets, WeightFormat.allCases)
  func layerAfterAGatedOne(_ set: String, _ format: WeightFormat) {
    withInstructionSet(set) {
      for (rows, channels, inner, outputs) in [(70, 64, 256, 33), (1, 45, 16, 32), (130, 32, 1040, 50)] {
        var numbers = TestNumbers(seed: UInt64(inner))
        let input = LayerInput(DenseTensor(numbers.array(2 * rows * channels), shape: [2, rows, channels]))
        for gateFormat in WeightFormat.allCases {
          let gate = PackedWeights(
            numbers.array(2 * inner * channels), outputs: 2 * inner, channels: channels,
            bias: numbers.array(2 * inner), format: gateFormat, gated: true)
          let weights = weights(outputs, inner, (1, 1), format, &numbers)
          let made = input.gatedLinear(gate, for: weights)
          #expect(made.shape == [2, rows, inner])
          #expect(made.linear(weights) == input.linear(gate).linear(weights))
        }
      }
    }
  }

  /// What a layer reads takes less memory than floats where it is stored in fewer bits.
  @Test func inputsInFewerBitsAreSmaller() {
    var numbers = TestNumbers(seed: 1)
    let norm = norm(64, &numbers)
    let weights = weights(32, 64, (1, 1), .int8, &numbers)
    func peak(_ body: (DenseTensor<Float>) -> Void) -> Int {
      let input = DenseTensor([Float](repeating: 1, count: 64 * 1000), shape: [1000, 64])
      return ActivationArena.rehearse { body(input) }.peakBytes
    }
    let floats = peak { _ = $0.layerNormalized(norm) }
    let pixels = peak { _ = $0.layerNormalized(norm, for: weights) }
    #expect(floats == 64 * 1000 * 4 && pixels == (64 + 8) * 1000)
  }

  private func norm(_ channels: Int, _ numbers: inout TestNumbers) -> NormParameters {
    NormParameters(gain: numbers.array(channels), shift: numbers.array(channels), epsilon: 1e-5)
  }

  private func weights(
    _ outputs: Int, _ channels: Int, _ kernel: (height: Int, width: Int), _ format: WeightFormat,
    _ numbers: inout TestNumbers
  ) -> PackedWeights {
    PackedWeights(
      numbers.array(outputs * channels * kernel.height * kernel.width), outputs: outputs, channels: channels,
      kernel: kernel, bias: numbers.array(outputs), format: format)
  }
}
