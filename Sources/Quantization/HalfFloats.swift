/// The two 16-bit formats of floats, as bits.
public enum HalfFloat: String, Hashable, Sendable, CaseIterable {
  /// IEEE 754 binary16: 11 bits of precision, up to 65504.
  case binary16
  /// The upper half of a `Float`: 8 bits of precision.
  case bfloat16

  /// The nearest of the format, ties to even. What is too large becomes infinite; NaN stays NaN.
  public func bits(of value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(bits >> 16 & 0x8000)
    if value.isNaN { return sign | (self == .binary16 ? 0x7E00 : 0x7FC0) }
    switch self {
    case .bfloat16:
      return UInt16(truncatingIfNeeded: (UInt64(bits) + 0x7FFF + UInt64(bits >> 16 & 1)) >> 16)
    case .binary16:
      let magnitude = value.magnitude
      // 65520 is half way from 65504 to the next power of two.
      if magnitude >= 65520 { return sign | 0x7C00 }
      if magnitude < 0x1p-14 {
        // Steps of 2⁻²⁴, down to 0 and up to the least normal number.
        return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven))
      }
      let kept = magnitude.bitPattern
      // A carry out of the fraction raises the exponent, as it should.
      let rounded = (kept + 0xFFF + (kept >> 13 & 1)) >> 13
      return sign | UInt16(rounded - (127 - 15) << 10)
    }
  }

  /// Exact, subnormal numbers, infinities and NaN included.
  public func value(of bits: UInt16) -> Float {
    self == .bfloat16 ? Self.float(bfloat16: bits) : Self.float(binary16: bits)
  }

  /// The `Float` that `pattern`, an IEEE 754 binary16, stands for.
  ///
  /// On x86 before AVX-512-FP16 a `Float16` conversion is a library call per element. This has neither calls nor
  /// branches, so that the compiler turns loops over it into vector code.
  @inlinable @inline(__always)
  public static func float(binary16 pattern: UInt16) -> Float {
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
  @inlinable @inline(__always)
  public static func float(bfloat16 pattern: UInt16) -> Float {
    Float(bitPattern: UInt32(pattern) << 16)
  }
}
