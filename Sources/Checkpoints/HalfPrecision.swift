/// Widening of 16-bit floats by integer operations alone.
///
/// On x86 before AVX-512-FP16 a `Float16` conversion is a library call per element. These loops have neither calls nor
/// branches, so the compiler turns them into vector code.
enum HalfPrecision {
  /// The `Float` that `pattern`, an IEEE 754 binary16, stands for: exact, subnormal numbers, infinities and NaN
  /// included.
  @inline(__always)
  static func float(binary16 pattern: UInt16) -> Float {
    let magnitude = UInt32(pattern & 0x7FFF) << 13
    let sign = UInt32(pattern & 0x8000) << 16
    let rebias: UInt32 = (127 - 15) << 23
    let nonFinite: UInt32 = 0x7C00 << 13
    let normal: UInt32 = 0x0400 << 13

    let widened = magnitude &+ rebias &+ (magnitude >= nonFinite ? rebias : 0)
    // A subnormal half has no hidden bit: give it the one of 2^-14, then take 2^-14 away again, which is exact.
    let hiddenBit = rebias &+ (1 << 23)
    let subnormal = (Float(bitPattern: magnitude &+ hiddenBit) - Float(bitPattern: hiddenBit)).bitPattern
    return Float(bitPattern: sign | (magnitude < normal ? subnormal : widened))
  }

  /// The `Float` whose upper half is `pattern`, a bfloat16.
  @inline(__always)
  static func float(bfloat16 pattern: UInt16) -> Float {
    Float(bitPattern: UInt32(pattern) << 16)
  }

  /// Widens `destination.count` binary16 numbers. `source` holds two bytes for each and need not be aligned.
  static func widen(binary16 source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>) {
    for index in 0..<destination.count {
      destination[index] = float(binary16: source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
    }
  }

  /// Widens `destination.count` bfloat16 numbers. `source` holds two bytes for each and need not be aligned.
  static func widen(bfloat16 source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>) {
    for index in 0..<destination.count {
      destination[index] = float(bfloat16: source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
    }
  }
}
