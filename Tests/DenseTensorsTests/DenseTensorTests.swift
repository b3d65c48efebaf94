import DenseTensors
import Foundation
import Tensors
import Testing

@Suite("Dense tensors")
struct DenseTensorTests {
  /// What every conformance promises, against doubles.
  private func checkConformance<T: Tensor>(_ type: T.Type, ulp: Double, make: ([Double]) -> T, read: (T) -> [Double]) {
    let (x, y) = ([0.5, -1.25, 3, 0, 100], [1, 2, -4, 0.125, -0.75])
    let (a, b) = (make(x), make(y))
    var sum = T(zeros: [5])
    let field = NoiseField(seed: 1, image: 2, stream: 3)
    let terms = [(0.3, x), (-1.7, y)]
    sum.assign(.init([.init(0.3, a), .init(-1.7, b)], noise: .init(0.5, field)))
    var expected = DoubleTensor(zeros: [5])
    expected.assign(.init(terms.map { .init($0.0, DoubleTensor($0.1)) }, noise: .init(0.5, field)))
    for (value, expected) in zip(read(sum), expected.values) {
      #expect(abs(value - expected) <= 2 * ulp * max(abs(expected), 1))
    }
    // Value semantics: a copy keeps its elements, and the target may be an operand.
    let copy = sum
    sum.assign(.init([.init(2, sum), .init(1, copy)]))
    for (tripled, single) in zip(read(sum), read(copy)) {
      #expect(abs(tripled - 3 * single) <= 4 * ulp * max(abs(single), 1))
    }
    sum.clamp(to: -1...2)
    #expect(read(sum).allSatisfy { (-1...2).contains($0) })
    #expect(abs(a.rootMeanSquare() - DoubleTensor(x).rootMeanSquare()) < 1e-12 && a.shape == [5])
    #expect(T(noise: field, shape: [6]).rootMeanSquare() > 0)
  }

  @Test func conformances() {
    checkConformance(DoubleTensor.self, ulp: 0x1p-52, make: { DoubleTensor($0) }, read: \.values)
    checkConformance(
      DenseTensor<Double>.self, ulp: 0x1p-52, make: { DenseTensor($0, shape: [5]) }, read: \.elements)
    checkConformance(
      DenseTensor<Float>.self, ulp: 0x1p-23, make: { DenseTensor($0.map(Float.init), shape: [5]) },
      read: { $0.elements.map(Double.init) })
    #if !(os(macOS) && arch(x86_64))
      checkConformance(
        DenseTensor<Float16>.self, ulp: 0x1p-10, make: { DenseTensor($0.map { Float16($0) }, shape: [5]) },
        read: { $0.elements.map { Double($0) } })
    #endif
  }

  @Test func layoutsRoundTrip() {
    let tensor = DenseTensor<Float>((0..<2 * 3 * 5 * 7).map(Float.init), shape: [2, 3, 5, 7])
    let last = tensor.channelsLast()
    #expect(last.shape == [2, 5, 7, 3])
    // Image 1, row 4, column 6, channel 2.
    #expect(last.elements[((1 * 5 + 4) * 7 + 6) * 3 + 2] == Float(((1 * 3 + 2) * 5 + 4) * 7 + 6))
    #expect(last.channelsFirst() == tensor)
    #expect(DenseTensor.stacking([tensor[outer: 0], tensor[outer: 1]]) == tensor)
  }

  @Test func channelsAreConcatenatedAndSplit() {
    let left = DenseTensor<Float>([1, 2, 3, 4], shape: [2, 2])
    let right = DenseTensor<Float>([5, 6], shape: [2, 1])
    let both = left.concatenatingChannels(right)
    #expect(both.elements == [1, 2, 5, 3, 4, 6] && both.shape == [2, 3])
    #expect(both.splitColumns(3).map(\.elements) == [[1, 3], [2, 4], [5, 6]])
  }

  @Test(arguments: [(3, 5), (7, 2), (4, 4), (1, 9)]) func nearestNeighbours(_ height: Int, _ width: Int) {
    let tensor = DenseTensor<Float>((0..<2 * 4 * 3).map(Float.init), shape: [2, 4, 3, 1])
    let resized = tensor.resizedNearest(height: height, width: width)
    for image in 0..<2 {
      for y in 0..<height {
        for x in 0..<width {
          let source = (image * 4 + y * 4 / height) * 3 + x * 3 / width
          #expect(resized.elements[(image * height + y) * width + x] == Float(source))
        }
      }
    }
  }

  @Test(arguments: [1, 2, 63, 64, 65, 100], [AttentionMask.none, .causal])
  func attention(_ length: Int, _ mask: AttentionMask) {
    let (heads, dimension) = (3, 5)
    let width = heads * dimension
    var numbers = TestNumbers(seed: UInt64(length))
    // Prompts of different lengths, except under the causal mask, which is for self-attention.
    let lengths = mask == .causal ? [length, length] : [length, length / 2 + 1]
    let queries = DenseTensor<Float>(numbers.array(2 * length * width), shape: [2, length, width])
    let sources = lengths.map { DenseTensor<Float>(numbers.array($0 * 2 * width), shape: [$0, 2 * width]) }
    let result = DenseTensor.attention(
      queries: queries,
      keyValues: zip(sources, lengths).map { KeyValues($0, firstRow: 0, length: $1, keyColumn: 0, valueColumn: width) },
      width: width, heads: heads, mask: mask)
    for image in 0..<2 {
      let source = sources[image].elements.map(Double.init)
      for row in 0..<length {
        for head in 0..<heads {
          let query = queries.elements[((image * length + row) * width + head * dimension)...].prefix(dimension)
          let visible = mask == .causal ? row + 1 : lengths[image]
          let scores = (0..<visible).map { key in
            zip(query, source[(key * 2 * width + head * dimension)...]).reduce(0) { $0 + Double($1.0) * $1.1 }
              / Double(dimension).squareRoot()
          }
          let weights = scores.map { exp($0) }
          let total = weights.reduce(0, +)
          for column in 0..<dimension {
            let expected =
              weights.enumerated().reduce(0) { sum, pair in
                sum + pair.element * source[pair.offset * 2 * width + width + head * dimension + column]
              } / total
            let found = result.elements[(image * length + row) * width + head * dimension + column]
            #expect(abs(Double(found) - expected) < 2e-6)
          }
        }
      }
    }
  }

  @Test func groupNormOfALargeMean() {
    var numbers = TestNumbers()
    let values = numbers.array(2 * 9 * 6).map { $0 + 1000 }
    let norm = NormParameters(gain: numbers.array(6), shift: numbers.array(6), epsilon: 1e-5)
    let result = DenseTensor(values, shape: [2, 3, 3, 6]).groupNormalized(
      NormParameters(gain: Array(repeating: 1, count: 6), shift: Array(repeating: 0, count: 6), epsilon: 0), groups: 2)
    #expect(norm.channels == 6)
    for image in 0..<2 {
      for group in 0..<2 {
        let members = (0..<9).flatMap { pixel in (0..<3).map { (image * 9 + pixel) * 6 + group * 3 + $0 } }
        let normalized = members.map { Double(result.elements[$0]) }
        let mean = normalized.reduce(0, +) / 27
        let variance = normalized.reduce(0) { $0 + $1 * $1 } / 27 - mean * mean
        // The inputs are rounded to 6e-5 about 1000; their own statistics are summed in double precision.
        #expect(abs(mean) < 2e-4 && abs(variance - 1) < 2e-3)
      }
    }
  }
}
