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

  public func value(of bits: UInt16) -> Float {
    switch self {
    case .bfloat16: return Float(bitPattern: UInt32(bits) << 16)
    case .binary16:
      let sign = UInt32(bits & 0x8000) << 16
      let exponent = UInt32(bits >> 10 & 0x1F)
      let fraction = UInt32(bits & 0x3FF)
      if exponent == 0 { return Float(bitPattern: sign | (Float(fraction) * 0x1p-24).bitPattern) }
      let wide = exponent == 0x1F ? 0xFF : exponent + 127 - 15
      return Float(bitPattern: sign | wide << 23 | fraction << 13)
    }
  }
}
