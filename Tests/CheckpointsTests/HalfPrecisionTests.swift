import Quantization
import Testing

@testable import Checkpoints

@Suite struct HalfPrecisionTests {
  static let patterns = Array(UInt16.min...UInt16.max)

  /// The value of a binary16 by its definition: sign, 5 bits of exponent, 10 of fraction.
  static func value(binary16 pattern: UInt16) -> Double {
    let exponent = Int(pattern >> 10 & 0x1F)
    let fraction = Double(pattern & 0x3FF) / 1024
    let magnitude: Double =
      switch exponent {
      case 0: Double(sign: .plus, exponent: -14, significand: 1) * fraction
      case 31: fraction == 0 ? .infinity : .nan
      default: Double(sign: .plus, exponent: exponent - 15, significand: 1) * (1 + fraction)
      }
    return pattern >> 15 == 0 ? magnitude : -magnitude
  }

  @Test func everyBinary16ConvertsAsDefined() {
    for pattern in Self.patterns {
      let float = HalfFloat.float(binary16: pattern)
      let value = Self.value(binary16: pattern)
      let same = value.isNaN ? float.isNaN : Double(float).bitPattern == value.bitPattern
      #expect(same && (float.sign == .minus) == (pattern >> 15 == 1), "\(pattern)")
    }
  }

  #if !(os(macOS) && arch(x86_64))
    @Test func everyBinary16ConvertsAsFloat16Does() {
      for pattern in Self.patterns {
        let float = HalfFloat.float(binary16: pattern)
        let expected = Float(Float16(bitPattern: pattern))
        #expect(expected.isNaN ? float.isNaN : float.bitPattern == expected.bitPattern, "\(pattern)")
      }
    }
  #endif

  @Test func everyBfloat16IsTheUpperHalfOfAFloat() {
    for pattern in Self.patterns {
      #expect(HalfFloat.float(bfloat16: pattern).bitPattern == UInt32(pattern) << 16)
    }
  }

  /// The buffers' loops give what the single conversions give, at odd addresses and for every length of a tail.
  @Test(arguments: [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 1009], [0, 1])
  func unalignedBuffersConvert(count: Int, offset: Int) {
    var generator = Generator(state: UInt64(count))
    let patterns = (0..<count).map { _ in UInt16.random(in: 0...UInt16.max, using: &generator) }
    let bytes = Array(repeating: 0xFF, count: offset) + patterns.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    bytes.withUnsafeBytes { source in
      let source = UnsafeRawBufferPointer(rebasing: source[offset...])
      var widened = [Float](repeating: -1, count: count)
      widened.withUnsafeMutableBufferPointer { HalfPrecision.widen(binary16: source, to: $0) }
      #expect(widened.map(\.bitPattern) == patterns.map { HalfFloat.float(binary16: $0).bitPattern })
      widened.withUnsafeMutableBufferPointer { HalfPrecision.widen(bfloat16: source, to: $0) }
      #expect(widened.map(\.bitPattern) == patterns.map { HalfFloat.float(bfloat16: $0).bitPattern })
    }
  }
}
