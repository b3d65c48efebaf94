import DenseTensors
import Testing

extension KernelTests {
  /// Products and norms of one image are the same bits in any batch: what threads and tiles they fall to differs.
  @Test func anImageDoesNotDependOnItsBatch() {
    var numbers = TestNumbers()
    let images = (0..<5).map { _ in DenseTensor<Float>(numbers.array(16 * 16 * 48), shape: [16, 16, 48]) }
    let weights = [1, 3].map { kernel in
      PackedWeights(
        numbers.array(48 * 48 * kernel * kernel), outputs: 48, channels: 48, kernel: (kernel, kernel), bias: nil)
    }
    let projection = PackedWeights(numbers.array(144 * 48), outputs: 144, channels: 48, bias: nil)
    let norm = NormParameters(gain: numbers.array(48), shift: numbers.array(48), epsilon: 1e-5)
    func results(_ images: [DenseTensor<Float>]) -> [DenseTensor<Float>] {
      let batch = DenseTensor.stacking(images).groupNormalized(norm, groups: 16, silu: true)
      let outputs = weights.map { batch.convolved(with: $0, .init(padding: .init($0.kernel.height / 2))) }
      let pixels = outputs[0].adding(outputs[1]).reshaped([images.count, 256, 48]).linear(projection)
      let own = images.indices.map {
        KeyValues(pixels, firstRow: 256 * $0, length: 256, keyColumn: 48, valueColumn: 96)
      }
      let attended = DenseTensor.attention(queries: pixels, keyValues: own, width: 48, heads: 4)
      return images.indices.map { attended[outer: $0] }
    }
    let together = results(images)
    for (image, expected) in zip(images, together) { #expect(results([image])[0] == expected) }
    #expect(results(Array(images[1...2])) == Array(together[1...2]))
  }
}
