import Tensors
import Testing

@Suite("Philox")
struct PhiloxTests {
  /// The known answers that are published with Random123 for philox4x32, 10 rounds.
  @Test(arguments: [
    (
      SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4(repeating: UInt32.max), SIMD2(repeating: UInt32.max),
      SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2(0xa409_3822, 0x299f_31d0),
      SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ])
  func knownAnswers(_ counter: SIMD4<UInt32>, _ key: SIMD2<UInt32>, _ words: SIMD4<UInt32>) {
    #expect(Philox(key: key).block(at: counter) == words)
    // A seed is a key whose low word comes first.
    #expect(Philox(seed: UInt64(key[1]) << 32 | UInt64(key[0])).block(at: counter) == words)
  }

  /// Flipping one of the 128 counter and 64 key bits flips each output bit with probability one half.
  @Test func everyBitCounts() {
    func flips(_ counter: SIMD4<UInt32>, _ key: SIMD2<UInt32>) -> Int {
      let words = Philox(key: key).block(at: counter) ^ Philox(key: SIMD2(3, 4)).block(at: SIMD4(5, 6, 7, 8))
      return (0..<4).reduce(0) { $0 + words[$1].nonzeroBitCount }
    }
    for bit in 0..<192 {
      var (counter, key) = (SIMD4<UInt32>(5, 6, 7, 8), SIMD2<UInt32>(3, 4))
      if bit < 128 { counter[bit / 32] ^= 1 << (bit % 32) } else { key[bit / 32 - 4] ^= 1 << (bit % 32) }
      // Of 128 coins, five standard deviations of √32.
      #expect(abs(flips(counter, key) - 64) <= 28, "bit \(bit)")
    }
  }
}
