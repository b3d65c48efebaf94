import DenseTensors
import Tensors
import Testing

/// What would read or write outside a tensor stops the program before it does, in release builds too.
@Suite("Preconditions")
struct PreconditionTests {
  typealias Tensor = DenseTensor<Float>

  @Test func picturesAreUpsampledTwiceAtMost() async {
    await #expect(processExitsWith: .failure) {
      let weights = PackedWeights([Float](repeating: 1, count: 64), outputs: 8, channels: 8, bias: nil)
      _ = Tensor(zeros: [1, 4, 4, 8]).convolved(with: weights, ConvolutionGeometry(upsampling: 3))
    }
    await #expect(processExitsWith: .failure) {
      let weights = PackedWeights([Float](repeating: 1, count: 64), outputs: 8, channels: 8, bias: nil)
      _ = Tensor(zeros: [1, 4, 4, 8]).convolved(with: weights, ConvolutionGeometry(upsampling: 0))
    }
    await #expect(processExitsWith: .failure) {
      let weights = PackedWeights([Float](repeating: 1, count: 576), outputs: 8, channels: 8, kernel: (3, 3), bias: nil)
      var padding = ConvolutionGeometry.Padding(2)
      padding.top = -1
      _ = Tensor(zeros: [1, 8, 8, 8]).convolved(with: weights, ConvolutionGeometry(padding: padding))
    }
  }

  @Test func keysLieWithinTheirTensor() async {
    await #expect(processExitsWith: .failure) {
      _ = KeyValues(Tensor(zeros: [8, 16]), firstRow: -2, length: 4, keyColumn: 0, valueColumn: 8)
    }
    await #expect(processExitsWith: .failure) {
      _ = KeyValues(Tensor(zeros: [8, 16]), firstRow: 0, length: -1, keyColumn: 0, valueColumn: 8)
    }
    await #expect(processExitsWith: .failure) {
      _ = KeyValues(Tensor(zeros: [8, 16]), firstRow: 0, length: 4, keyColumn: -8, valueColumn: 8)
    }
    await #expect(processExitsWith: .failure) {
      _ = KeyValues(Tensor(zeros: [8, 16]), firstRow: 0, length: 4, keyColumn: 0, valueColumn: -1)
    }
  }

  @Test func layersHaveChannels() async {
    await #expect(processExitsWith: .failure) {
      _ = PackedWeights([], outputs: 8, channels: 0, bias: nil, format: .float16)
    }
    await #expect(processExitsWith: .failure) {
      _ = PackedWeights([1, 2], outputs: -1, channels: -2, bias: nil)
    }
  }

  @Test func outlinesAreNotComputedWith() async {
    await #expect(processExitsWith: .failure) {
      let weights = PackedWeights(
        outlineOf: 8, channels: 8, kernel: (1, 1), hasBias: false, format: .float32, gated: false)
      _ = Tensor(zeros: [4, 8]).linear(weights)
    }
  }

  @Test func inputsAreReadByTheLayerTheyWereMadeFor() async {
    await #expect(processExitsWith: .failure) {
      let bytes = PackedWeights([Float](repeating: 1, count: 64), outputs: 8, channels: 8, bias: nil, format: .int8)
      let floats = PackedWeights([Float](repeating: 1, count: 64), outputs: 8, channels: 8, bias: nil)
      let norm = NormParameters(gain: [1, 1, 1, 1, 1, 1, 1, 1], shift: [0, 0, 0, 0, 0, 0, 0, 0], epsilon: 1e-5)
      _ = Tensor(zeros: [4, 8]).layerNormalized(norm, for: bytes).linear(floats)
    }
  }
}
