import DenseTensors
import Tensors
import Testing

@Suite struct LayerComparisonTests {
  private let values = DenseTensor<Float>(noise: NoiseField(seed: 1), shape: [24, 40]).elements
  private let input = DenseTensor<Float>(noise: NoiseField(seed: 2), shape: [9, 40])

  private func layer(_ name: String, _ format: WeightFormat) -> PackedWeights {
    var weights = PackedWeights(values, outputs: 24, channels: 40, bias: nil, format: format)
    weights.name = name
    return weights
  }

  /// What is added to the output is no part of the comparison, and the run itself does not change.
  @Test func comparesProductsOnTheInputsOfTheRun() async {
    let comparison = LayerComparison(with: [layer("a", .int8), layer("same", .float32)])
    let residual = DenseTensor<Float>(repeating: 1000, shape: [9, 24])
    let expected = input.linear(layer("a", .float32), residual: residual)
    let result = await comparison.observe {
      _ = input.linear(layer("same", .float32))
      _ = input.linear(layer("unknown", .float32))
      return input.linear(layer("a", .float32), residual: residual)
    }
    #expect(result == expected)
    let exact = input.linear(layer("a", .float32))
    let difference = DenseTensor.combining((1, input.linear(layer("a", .int8))), (-1, exact))
    #expect(Set(comparison.sums.keys) == ["a", "same"])
    #expect(comparison.sums["a"]?.signal == exact.innerProduct(exact))
    #expect(comparison.sums["a"]?.noise == difference.innerProduct(difference))
    #expect(difference.innerProduct(difference) > 0 && comparison.sums["same"]?.noise == 0)
  }

  @Test func addsUpOverCallsAndNotesNothingOutside() async {
    let comparison = LayerComparison(with: [layer("a", .bfloat16)])
    _ = input.linear(layer("a", .float32))
    #expect(comparison.sums.isEmpty)
    await comparison.observe { _ = input.linear(layer("a", .float32)) }
    let once = comparison.sums["a"]
    await comparison.observe { _ = input.linear(layer("a", .float32)) }
    #expect(comparison.sums["a"]?.signal == once.map { 2 * $0.signal })
    #expect(comparison.sums["a"]?.noise == once.map { 2 * $0.noise })
  }
}
