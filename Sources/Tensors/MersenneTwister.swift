/// MT19937, the generator behind `torch.manual_seed` on the CPU.
///
/// Matsumoto and Nishimura 1998, ACM Trans. Model. Comput. Simul. 8, 3. It is a sequence and not a function of a
/// counter: Fewstep uses it only to reproduce images of others.
public struct MersenneTwister: Sendable {
  private var state: [UInt32]
  private var position: Int

  /// As the authors' `init_genrand`, by the low word of the seed.
  public init(seed: UInt64) {
    state = [UInt32(truncatingIfNeeded: seed)]
    for index in 1..<624 {
      let last = state[index - 1]
      state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(index))
    }
    position = 624
  }

  public mutating func next() -> UInt32 {
    if position == 624 { twist() }
    var word = state[position]
    position += 1
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C_5680
    word ^= (word << 15) & 0xEFC6_0000
    return word ^ (word >> 18)
  }

  private mutating func twist() {
    for index in 0..<624 {
      let mixed = (state[index] & 0x8000_0000) | (state[(index + 1) % 624] & 0x7FFF_FFFF)
      state[index] = state[(index + 397) % 624] ^ (mixed >> 1) ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
    }
    position = 0
  }
}
