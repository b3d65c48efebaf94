/// Philox4x32-10: a random function of a counter and a key.
///
/// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Having no state, it gives
/// the same numbers in whatever order, batch or thread they are asked for.
public struct Philox: Sendable {
  public typealias Block = SIMD4<UInt32>

  let key: SIMD2<UInt32>

  public init(key: SIMD2<UInt32>) {
    self.key = key
  }

  /// The key is `seed`, its low word first.
  public init(seed: UInt64) {
    self.init(key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
  }

  /// Four random words for `counter`, whose element 0 is the least significant.
  public func block(at counter: Block) -> Block {
    var words = counter
    var key = key
    for round in 0..<10 {
      if round > 0 { key &+= SIMD2(0x9E37_79B9, 0xBB67_AE85) }
      let even = UInt64(words[0]) * 0xD251_1F53
      let odd = UInt64(words[2]) * 0xCD9E_8D57
      words = SIMD4(
        UInt32(truncatingIfNeeded: odd >> 32) ^ words[1] ^ key[0], UInt32(truncatingIfNeeded: odd),
        UInt32(truncatingIfNeeded: even >> 32) ^ words[3] ^ key[1], UInt32(truncatingIfNeeded: even))
    }
    return words
  }
}
