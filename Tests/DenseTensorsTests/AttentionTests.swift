import DenseTensors
import Foundation
import Tensors
import Testing

extension KernelTests {
  /// Images of one length with keys and values of their own lengths, all in the rows of one tensor.
  struct AttentionProblem {
    let heads: Int
    let dimension: Int
    let length: Int
    let keyLengths: [Int]
    let mask: AttentionMask
    /// `[images, length, width + 1]`: the last column is somebody else's.
    let queries: DenseTensor<Float>
    /// Rows of a column of somebody else's, values and keys, from row 2 on.
    let keyValues: DenseTensor<Float>

    var width: Int { heads * dimension }
    var columns: Int { 1 + 2 * width }

    init(heads: Int, dimension: Int, length: Int, keyLengths: [Int], mask: AttentionMask, queryScale: Float = 1) {
      (self.heads, self.dimension, self.length, self.mask) = (heads, dimension, length, mask)
      self.keyLengths = keyLengths
      var numbers = TestNumbers(seed: UInt64(length))
      let (images, width) = (keyLengths.count, heads * dimension)
      var query = numbers.array(images * length * (width + 1)).map { $0 * queryScale }
      for index in query.indices where index % (width + 1) == width { query[index] = .nan }
      queries = DenseTensor(query, shape: [images, length, width + 1])
      let rows = 2 + keyLengths.reduce(0, +)
      var source = numbers.array(rows * (1 + 2 * width))
      for index in source.indices where index % (1 + 2 * width) == 0 || index < 2 * (1 + 2 * width) {
        source[index] = .nan
      }
      keyValues = DenseTensor(source, shape: [rows, 1 + 2 * width])
    }

    func firstRow(_ image: Int) -> Int { 2 + keyLengths.prefix(image).reduce(0, +) }

    /// The images in `range`, by the library.
    func result(
      _ range: Range<Int>, keyValues: DenseTensor<Float>? = nil, precision: AttentionPrecision = .float32
    ) -> DenseTensor<Float> {
      DenseTensor.attention(
        queries: .stacking(range.map { queries[outer: $0] }),
        keyValues: range.map {
          KeyValues(
            keyValues ?? self.keyValues, firstRow: firstRow($0), length: keyLengths[$0], keyColumn: 1 + width,
            valueColumn: 1)
        },
        width: width, heads: heads, mask: mask, precision: precision)
    }

    /// One row of one head by the definition, in double precision, and what float may be off.
    func expected(_ image: Int, _ row: Int, _ head: Int) -> (values: [Double], bound: Double) {
      let query = queries.elements[((image * length + row) * (width + 1) + head * dimension)...].prefix(dimension)
      let visible = mask == .causal ? min(row + 1, keyLengths[image]) : keyLengths[image]
      let source = keyValues.elements
      var (scores, size): ([Double], Double) = ([], 0)
      for key in 0..<visible {
        let start = (firstRow(image) + key) * columns + 1 + width + head * dimension
        let products = zip(query, source[start...]).map { Double($0) * Double($1) / Double(dimension).squareRoot() }
        scores.append(products.reduce(0, +))
        size = max(size, products.reduce(0) { $0 + abs($1) })
      }
      let largest = scores.max() ?? 0
      let weights = scores.map { exp($0 - largest) }
      let total = weights.reduce(0, +)
      let values = (0..<dimension).map { column in
        weights.enumerated().reduce(0) { sum, pair in
          let start = (firstRow(image) + pair.offset) * columns + 1 + head * dimension
          return sum + pair.element / total * Double(source[start + column])
        }
      }
      // A score is off by a few roundings of the sum of its products' sizes, e^x by 2e-7; both change the weights and
      // their total. The values are at most 1; the sum over the keys is rounded as often as there are keys.
      return (values, 2 * (2e-7 + 4 * roundoff * size) + roundoff * (4 + Double(visible).squareRoot()))
    }
  }

  @Test(arguments: [1, 2, 63, 64, 65, 130], [AttentionMask.none, .causal])
  func attention(_ length: Int, _ mask: AttentionMask) {
    for (heads, dimension) in [(1, 8), (3, 5), (2, 16), (1, 80)] {
      // Prompts of different lengths, and as many keys as queries.
      let problem = AttentionProblem(
        heads: heads, dimension: dimension, length: length, keyLengths: [length, length / 2 + 1, 77], mask: mask)
      let result = problem.result(0..<3)
      #expect(result.shape == [3, length, problem.width])
      let found = result.elements
      for image in 0..<3 {
        for row in 0..<length {
          for head in 0..<heads {
            let (values, bound) = problem.expected(image, row, head)
            let start = (image * length + row) * problem.width + head * dimension
            for (value, expected) in zip(found[start...], values) {
              #expect(abs(Double(value) - expected) <= bound, "image \(image), row \(row), head \(head)")
            }
          }
        }
      }
      // The bits of an image are the same alone or with any other.
      for range in [0..<1, 1..<2, 2..<3, 1..<3] {
        #expect(problem.result(range) == .stacking(range.map { result[outer: $0] }))
      }
    }
  }

  /// Fewer bits cost as much as they must and show; an image's bits are the same alone.
  @Test(arguments: [AttentionMask.none, .causal]) func attentionInBfloat16(_ mask: AttentionMask) {
    let problem = AttentionProblem(heads: 2, dimension: 40, length: 130, keyLengths: [130, 77], mask: mask)
    let result = problem.result(0..<2, precision: .bfloat16)
    let differences = zip(result.elements, problem.result(0..<2).elements).map { abs($0 - $1) }
    // Values of at most 1, their weights and the scores, of about 1, lose 2^-9 each.
    #expect((0x1p-12...0x1p-7).contains(differences.max()!))
    #expect(problem.result(1..<2, precision: .bfloat16) == .stacking([result[outer: 1]]))
  }

  /// Changing what comes later changes no bit of what comes before.
  @Test(arguments: [70, 170]) func causalMaskHidesTheFuture(_ length: Int) {
    let problem = AttentionProblem(heads: 2, dimension: 5, length: length, keyLengths: [length], mask: .causal)
    let result = problem.result(0..<1).elements
    for cut in [1, 17, 64, length - 1] {
      var changed = problem.keyValues
      changed.withUnsafeMutableBufferPointer { elements in
        for index in (problem.firstRow(0) + cut) * problem.columns..<elements.count { elements[index] *= -3 }
      }
      let other = problem.result(0..<1, keyValues: changed).elements
      #expect(other.prefix(cut * problem.width) == result.prefix(cut * problem.width))
      #expect(other.suffix((length - cut) * problem.width) != result.suffix((length - cut) * problem.width))
    }
  }

  /// Scores of hundreds of thousands do not overflow: the largest takes it all.
  @Test(arguments: [AttentionMask.none, .causal], [33, 133]) func largeScores(_ mask: AttentionMask, _ length: Int) {
    let problem = AttentionProblem(
      heads: 2, dimension: 8, length: length, keyLengths: [length], mask: mask, queryScale: 1e5)
    let found = problem.result(0..<1).elements
    for row in 0..<length {
      for head in 0..<2 {
        let (values, bound) = problem.expected(0, row, head)
        for (value, expected) in zip(found[(row * 16 + head * 8)...], values) {
          #expect(abs(Double(value) - expected) <= bound)
        }
      }
    }
  }
}
