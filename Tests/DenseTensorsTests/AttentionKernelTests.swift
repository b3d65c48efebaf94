import CKernels
import Foundation
import Testing

/// The kernel of attention, one head of one image at a time, and the exponential inside it.
extension KernelTests {
  /// Queries, keys and values in buffers that end with their last elements.
  struct AttentionHead: ~Copyable {
    let length: Int
    let keys: Int
    let dimension: Int
    let isCausal: Bool
    let isRounded: Bool
    let query: GuardedBuffer<Float>
    let key: GuardedBuffer<Float>
    let value: GuardedBuffer<Float>

    var queryStride: Int { dimension + 3 }
    var keyStride: Int { dimension + 5 }
    var outputStride: Int { dimension + 1 }

    init(length: Int, keys: Int, dimension: Int, isCausal: Bool = false, isRounded: Bool) {
      (self.length, self.keys, self.dimension) = (length, keys, dimension)
      (self.isCausal, self.isRounded) = (isCausal, isRounded)
      var numbers = TestNumbers(seed: UInt64(length + keys + dimension))
      query = GuardedBuffer(numbers.array((length - 1) * (dimension + 3) + dimension))
      key = GuardedBuffer(numbers.array((keys - 1) * (dimension + 5) + dimension))
      value = GuardedBuffer(numbers.array((keys - 1) * (dimension + 5) + dimension))
    }

    var scale: Float { 1 / Float(dimension).squareRoot() }

    /// What the kernel computes with: rounded to bfloat16, to nearest even, where asked for.
    func operand(_ value: Float) -> Double {
      guard isRounded else { return Double(value) }
      let bits = value.bitPattern
      return Double(Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000))
    }

    func visibleKeys(_ row: Int) -> Int { isCausal ? min(row + 1, keys) : keys }

    /// `[length, dimension]`, by the kernel in the pieces given.
    func result(_ pieces: [Range<Int>]? = nil) -> [Float] {
      let output = GuardedBuffer(unwritten: (length - 1) * outputStride + dimension)
      // Behind scratch lies a guard page, too.
      let scratch = GuardedBuffer(
        unwritten: Int(fs_attention_scratch_count(Int64(keys), Int64(dimension), isRounded)))
      let packed = GuardedBuffer(
        unwritten: Int(fs_attention_packed_count(Int64(keys), Int64(dimension), isRounded)))
      var operation = fs_attention(
        query: query.pointer, query_stride: Int64(queryStride), key: key.pointer, value: value.pointer,
        key_stride: Int64(keyStride), keys: Int64(keys), dimension: Int64(dimension),
        scale: scale, causal: isCausal, bfloat16: isRounded, packed: packed.pointer, output: output.pointer,
        output_stride: Int64(outputStride))
      fs_pack_keys(&operation, 0, fs_attention_blocks(Int64(keys), Int64(dimension), isRounded))
      for piece in pieces ?? [0..<length] {
        fs_attend(&operation, Int64(piece.lowerBound), Int64(piece.upperBound), scratch.pointer)
      }
      let values = output.values
      let between = values.indices.filter { $0 % outputStride == dimension }
      #expect(between.allSatisfy { values[$0].isNaN }, "written between the rows")
      return (0..<length).flatMap { values[$0 * outputStride..<$0 * outputStride + dimension] }
    }

    /// One row by the definition, in double precision, and what float may be off.
    func expected(_ row: Int) -> (values: [Double], bound: Double) {
      // Powers of 2 of queries scaled before they are rounded.
      let factor = scale * 1.44269504
      let query = self.query.elements[(row * queryStride)...].prefix(dimension).map { operand($0 * factor) }
      let visible = visibleKeys(row)
      var (scores, size): ([Double], Double) = ([], 0)
      for key in 0..<visible {
        var (score, products) = (0.0, 0.0)
        for (column, number) in query.enumerated() {
          let product = number * operand(self.key.elements[key * keyStride + column])
          score += product
          products += abs(product)
        }
        scores.append(score)
        size = max(size, products)
      }
      let largest = scores.max()!
      let weights = scores.map { exp2($0 - largest) }
      let total = weights.reduce(0, +)
      var values = [Double](repeating: 0, count: dimension)
      /// What weights that are each off by one part of them change at most: the sum of the weighted values, where it is
      /// the total of the exact ones that they are divided by, else that of the distances from the mean.
      var spread = 0.0
      func weighted(_ column: Int, _ term: (Double) -> Double) -> Double {
        weights.enumerated().reduce(0) { sum, key in
          sum + key.element / total * term(operand(value.elements[key.offset * keyStride + column]))
        }
      }
      for column in 0..<dimension {
        values[column] = weighted(column) { $0 }
        if isRounded {
          spread = max(spread, weighted(column) { abs($0) }, weighted(column) { abs($0 - values[column]) })
        }
      }
      // A score is off by a few roundings of the sum of its products' sizes, 2^x by two; both change the weights and
      // their total. The values are at most 1; the sum over the keys is rounded as often as there are keys. Weights are
      // off by 1.1e-4 of them and then rounded to bfloat16, by up to 2^-8.
      let bound = 2 * (4 * roundoff + 4 * roundoff * size) + roundoff * (4 + Double(visible).squareRoot())
      return (values, bound + (isRounded ? spread * (0x1p-8 + 1.1e-4) : 0))
    }
  }

  /// Around the vectors, tiles and blocks of all instruction sets.
  static let attentionLengths = [1, 15, 16, 17, 77, 129, 520]

  @Test(arguments: instructionSets, [1, 8, 40, 41, 64, 160, 512]) func attention(_ set: String, _ dimension: Int) {
    attention(set, dimension, isRounded: false)
  }

  @Test(arguments: instructionSets, [1, 8, 40, 41, 64, 160, 512])
  func attentionOfRoundedOperands(_ set: String, _ dimension: Int) {
    attention(set, dimension, isRounded: true)
  }

  private func attention(_ set: String, _ dimension: Int, isRounded: Bool) {
    withInstructionSet(set) {
      for (index, length) in Self.attentionLengths.enumerated() {
        for (keys, isCausal) in [(Self.attentionLengths[(index * 3 + 4) % 7], false), (length, true), (50, true)] {
          let head = AttentionHead(
            length: length, keys: keys, dimension: dimension, isCausal: isCausal, isRounded: isRounded)
          let result = head.result()
          var worst = 0.0
          for row in stride(from: 0, to: length, by: 1 + length / 40) {
            let (values, bound) = head.expected(row)
            for (value, expected) in zip(result[(row * dimension)...], values) {
              let ratio = abs(Double(value) - expected) / bound
              worst = ratio <= worst ? worst : ratio
            }
          }
          #expect(worst <= 1, "\(length) queries, \(keys) keys, causal: \(isCausal)")
          // A query's bits do not depend on those computed with it.
          var numbers = TestNumbers(seed: UInt64(length))
          let inPieces = head.result(numbers.pieces(of: length, atMost: 60))
          #expect(inPieces == result)
        }
      }
    }
  }

  /// A broken model must show, in every column of the queries that see the broken key, and in no other.
  @Test(arguments: instructionSets, [false, true]) func brokenScores(_ set: String, _ isRounded: Bool) {
    withInstructionSet(set) {
      for (broken, isCausal) in [(Float.nan, true), (.nan, false), (.infinity, true), (.infinity, false)] {
        for position in [0, 1, 16, 128, 149] {
          let head = AttentionHead(length: 150, keys: 150, dimension: 5, isCausal: isCausal, isRounded: isRounded)
          for row in 0..<150 { head.query.elements[row * head.queryStride] = 1 }
          head.key.elements[position * head.keyStride] = broken
          let result = head.result()
          for row in 0..<150 {
            let isBroken = position < head.visibleKeys(row)
            #expect(result[row * 5..<row * 5 + 5].allSatisfy { $0.isNaN == isBroken }, "key \(position), row \(row)")
          }
        }
      }
    }
  }

  /// Keys of score -infinity, or far below the others, count nothing, also where they fill the first block.
  @Test(arguments: instructionSets, [-1000, -1e30, -.infinity] as [Float])
  func lowScores(_ set: String, _ lowest: Float) {
    for isRounded in [false, true] { lowScores(set, lowest, isRounded: isRounded) }
  }

  private func lowScores(_ set: String, _ lowest: Float, isRounded: Bool) {
    withInstructionSet(set) {
      for last in [0, 16, 127, 128, 149] {
        let head = AttentionHead(length: 20, keys: 150, dimension: 1, isRounded: isRounded)
        for row in 0..<20 { head.query.elements[row * head.queryStride] = 1 }
        for key in 0..<150 { head.key.elements[key * head.keyStride] = key == last ? 0 : lowest }
        let value = Float(head.operand(head.value.elements[last * head.keyStride]))
        let result = head.result()
        // Nothing is left to make pieces of when infinity is taken off infinity.
        if set == "amx" && !isRounded && lowest == -.infinity {
          #expect(result.allSatisfy { $0.isNaN })
        } else {
          #expect(result == [Float](repeating: value, count: 20), "key \(last)")
        }
      }
      let head = AttentionHead(length: 20, keys: 150, dimension: 1, isRounded: isRounded)
      for row in 0..<20 { head.query.elements[row * head.queryStride] = 1 }
      for key in 0..<150 { head.key.elements[key * head.keyStride] = -.infinity }
      #expect(head.result().allSatisfy { $0.isNaN })
    }
  }

  /// Scores that rise from key to key, slowly and fast, are relative to another one again and again.
  @Test(arguments: instructionSets, [0.25, 1, 5, 40] as [Float]) func risingScores(_ set: String, _ step: Float) {
    withInstructionSet(set) {
      for (isRounded, keys, dimension) in [(false, 300, 5), (true, 300, 5), (false, 700, 40), (true, 700, 40)] {
        let head = AttentionHead(length: 70, keys: keys, dimension: dimension, isRounded: isRounded)
        for key in 0..<keys { head.key.elements[key * head.keyStride] = Float(key) * step }
        // To each query at a pace of its own.
        for row in 0..<70 { head.query.elements[row * head.queryStride] = 0.0625 * Float(row - 4) }
        let result = head.result()
        for row in 0..<70 {
          let (values, bound) = head.expected(row)
          for (value, expected) in zip(result[(row * dimension)...], values) {
            #expect(abs(Double(value) - expected) <= bound, "row \(row)")
          }
        }
        #expect(head.result((0..<70).map { $0..<$0 + 1 }) == result)
      }
    }
  }

  /// Every 307th float from -0 to -127.5, about 3.6 million.
  static let exponents: [Float] =
    stride(from: Float(-0.0).bitPattern, through: Float(-127.5).bitPattern, by: 307).map(Float.init(bitPattern:))

  @Test(arguments: instructionSets) func exponential(_ set: String) {
    withInstructionSet(set) {
      // Multiplication and addition are rounded once where they are fused.
      let bound = set == "portable" ? 2.0 : 1.0
      var worst: (error: Double, input: Float) = (0, 0)
      let buffer = GuardedBuffer(Self.exponents)
      fs_exp2(buffer.pointer, buffer.pointer, Int64(Self.exponents.count))
      for (input, output) in zip(Self.exponents, buffer.elements) {
        let exact = exp2(Double(input))
        // From there on zero is as good as the subnormal numbers.
        let error = abs(Double(output) - exact) / (input < -126 ? 0x1p-126 : Double(Float(exact).ulp))
        if !(error <= worst.error) { worst = (error, input) }
      }
      #expect(worst.error < bound, "at \(worst.input)")
      for count in Self.sizes {
        let ends = GuardedBuffer([Float](repeating: -.infinity, count: count - 1) + [0])
        fs_exp2(ends.pointer, ends.pointer, Int64(count))
        #expect(ends.values == [Float](repeating: 0, count: count - 1) + [1])
        let broken = GuardedBuffer([Float](repeating: .nan, count: count))
        fs_exp2(broken.pointer, broken.pointer, Int64(count))
        #expect(broken.values.allSatisfy { $0.isNaN })
      }
    }
  }
}
