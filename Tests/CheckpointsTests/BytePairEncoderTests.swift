import Testing

@testable import Checkpoints

@Suite struct BytePairEncoderTests {
  typealias Merge = (pair: BytePairEncoder.Pair, product: Int)

  /// Byte pair encoding by its definition: the first place of the best pair merges, until no pair is left.
  private static func reference(_ tokens: [Int], _ merges: [Merge]) -> [Int] {
    var tokens = tokens
    while true {
      let candidates = tokens.indices.dropLast().compactMap { index -> (rank: Int, index: Int)? in
        let pair = BytePairEncoder.Pair(left: tokens[index], right: tokens[index + 1])
        return merges.lastIndex { $0.pair == pair }.map { ($0, index) }
      }
      guard let best = candidates.min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) }) else { return tokens }
      tokens.replaceSubrange(best.index...best.index + 1, with: [merges[best.rank].product])
    }
  }

  /// Random merges over few letters, every product a token of its own, so that the definition alone decides.
  @Test(arguments: UInt64(0)..<50)
  func mergesByRankFromTheLeft(seed: UInt64) {
    var generator = Generator(state: seed)
    var merges: [Merge] = []
    for rank in 0..<12 {
      let known = [0, 1, 2, 1000, 1001, 1002] + merges.map(\.product)
      let pair = BytePairEncoder.Pair(
        left: known.randomElement(using: &generator) ?? 0, right: known.randomElement(using: &generator) ?? 0)
      merges.append((pair, 2000 + rank))
    }
    let encoder = BytePairEncoder(inner: Array(0..<256), final: Array(1000..<1256), merges: merges)
    for _ in 0..<50 {
      let piece = (0..<Int.random(in: 0...30, using: &generator)).map { _ in UInt8.random(in: 0...2, using: &generator)
      }
      let tokens = piece.dropLast().map(Int.init) + piece.suffix(1).map { 1000 + Int($0) }
      #expect(encoder.tokens(of: piece) == Self.reference(tokens, merges))
    }
  }

  @Test func aPieceOfOneByteEndsAWord() {
    let encoder = BytePairEncoder(inner: Array(0..<256), final: Array(1000..<1256), merges: [])
    #expect(encoder.tokens(of: []) == [])
    #expect(encoder.tokens(of: [7]) == [1007])
    #expect(encoder.tokens(of: [7, 7]) == [7, 1007])
  }

  @Test func theHeapSorts() {
    var generator = Generator(state: 9)
    for count in 0..<40 {
      let numbers = (0..<count).map { _ in Int.random(in: 0...20, using: &generator) }
      var heap = MinimumHeap<Int>()
      numbers.forEach { heap.insert($0) }
      var sorted: [Int] = []
      while let minimum = heap.popMinimum() { sorted.append(minimum) }
      #expect(sorted == numbers.sorted())
    }
  }

  @Test func theAlphabetIsOneToOne() {
    #expect(ByteAlphabet.characters.count == 256)
    #expect(ByteAlphabet.bytes.count == 256)
    #expect(ByteAlphabet.characters[0x20] == "Ġ")
    #expect(ByteAlphabet.characters[0x41] == "A")
    #expect(ByteAlphabet.characters[0xAD] == "\u{143}")
  }
}
