import Quantization
import Tensors
import Testing

@Suite struct FormatTests {
  private func floats(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
    DoubleTensor(noise: NoiseField(seed: seed), shape: [count]).values.map { Float($0) * scale }
  }

  private func decoded(_ bytes: [UInt8], _ format: BlockFormat) -> [Float] {
    var values = [Float](repeating: .nan, count: bytes.count / format.blockBytes * 32)
    bytes.withUnsafeBytes { bytes in values.withUnsafeMutableBufferPointer { format.decode(bytes, into: $0) } }
    return values
  }

  /// By hand: the largest is 127 · 0.5, so that d = 0.5, which is 0x3800 as a half.
  @Test func q8BlocksAreTheirDefinition() {
    var values = (0..<32).map { Float($0) / 2 }
    values[3] = -63.5
    values[4] = 0.25  // half a level, rounded away from 0
    values[5] = -0.25
    var expected: [UInt8] = [0x00, 0x38] + (0..<32).map { UInt8($0) }
    expected[2 + 3] = 0x81
    expected[2 + 4] = 1
    expected[2 + 5] = 0xFF
    #expect(BlockFormat.q8.encode(values) == expected)
  }

  /// By hand: the extreme -8 has d = 1, which is 0x3C00; level = ⌊x / d + 8.5⌋, and the two halves share bytes.
  @Test func q4BlocksAreTheirDefinition() {
    var values = [Float](repeating: 0, count: 32)
    values[0] = -8
    values[1] = 7
    values[2] = 7.9  // 16, of which there are 15
    values[16] = -1.5  // 7 exactly: half a level rounds up
    values[17] = 3
    var expected: [UInt8] = [0x00, 0x3C] + [UInt8](repeating: 0x88, count: 16)
    expected[2] = 0x70
    expected[3] = 0xBF
    expected[4] = 0x8F
    #expect(BlockFormat.q4.encode(values) == expected)
    // A positive extreme has a negative step: -1 is 0xBC00, and all else the same.
    expected[1] = 0xBC
    #expect(BlockFormat.q4.encode(values.map { -$0 }) == expected)
  }

  @Test func blocksAreAsLongAsGGUFSays() {
    #expect(BlockFormat.q8.byteCount(of: 64) == 68 && BlockFormat.q4.byteCount(of: 64) == 36)
    for format in BlockFormat.allCases {
      #expect(format.byteCount(of: 0) == 0)
      #expect(format.byteCount(of: 33) == nil && format.byteCount(of: -32) == nil)
    }
    #expect(BlockFormat.q8.byteCount(of: .max - 31) == nil)
  }

  @Test(arguments: BlockFormat.allCases, [Float(1), 1e-3, 300])
  func blocksLoseHalfAStepAndNoMore(_ format: BlockFormat, _ scale: Float) {
    let values = floats(3200, seed: 5, scale: scale)
    let result = decoded(format.encode(values), format)
    for first in stride(from: 0, to: values.count, by: 32) {
      let largest = values[first..<first + 32].map(abs).max() ?? 0
      // Of q4_0 the levels end at 7, so that what is opposite the extreme may lose a whole step.
      let step = format == .q8 ? largest / 127 : largest / 8
      // The step itself is rounded: to 11 bits, or to multiples of 2⁻²⁴ where it is small.
      let stepError = max(step * 0x1p-11, 0x1p-25)
      let bound = format == .q8 ? 0.5 * step + 127 * stepError : step + 8 * stepError
      for index in first..<first + 32 { #expect(abs(result[index] - values[index]) <= bound) }
    }
    // What has been stored is stored the same again, but for q8_0's rounding of the step.
    if format == .q4 { #expect(format.encode(result) == format.encode(values)) }
  }

  @Test func blocksOfZerosAndOddNumbersAreSafe() {
    for format in BlockFormat.allCases {
      #expect(decoded(format.encode(Array(repeating: 0, count: 32)), format) == Array(repeating: 0, count: 32))
      for odd in [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
        #expect(format.encode([odd] + floats(31, seed: 1)).count == format.blockBytes)
      }
      #expect(decoded([UInt8](repeating: 0xFF, count: format.blockBytes), format).count == 32)
    }
  }

  @Test(arguments: HalfFloat.allCases) func everyHalfSurvives(_ format: HalfFloat) {
    for bits in 0...UInt16.max {
      let value = format.value(of: bits)
      if value.isNaN {
        #expect(format.value(of: format.bits(of: value)).isNaN)
      } else {
        #expect(format.bits(of: value) == bits)
      }
    }
  }

  @Test(arguments: HalfFloat.allCases) func floatsGoToTheNearestHalf(_ format: HalfFloat) {
    // Between every two neighbours: the middle goes to the even one, and what is beyond it to the nearer.
    let infinity: UInt16 = format == .binary16 ? 0x7C00 : 0x7F80
    for bits in stride(from: UInt16(0), to: infinity - 1, by: 7) {
      let (low, high) = (format.value(of: bits), format.value(of: bits + 1))
      let middle = low + (high - low) / 2
      #expect(format.bits(of: middle) == (bits.isMultiple(of: 2) ? bits : bits + 1))
      #expect(format.bits(of: middle.nextUp) == bits + 1 && format.bits(of: middle.nextDown) == bits)
      #expect(format.bits(of: -middle.nextUp) == 0x8000 | (bits + 1))
    }
    #expect(format.bits(of: .greatestFiniteMagnitude) == infinity)
    #expect(HalfFloat.binary16.bits(of: 65519.996) == 0x7BFF && HalfFloat.binary16.bits(of: 65520) == 0x7C00)
  }
}
