/// The block formats of GGUF that models are stored in: 32 numbers with one step, which is a half.
///
/// Layouts and roundings: ggml's `block_q8_0` and `block_q4_0`, with the roundings of its reference quantizers.
public enum BlockFormat: String, Hashable, Sendable, CaseIterable {
  /// Step d, then 32 levels of 8 bits; x = d · level.
  case q8 = "q8_0"
  /// Step d, then 16 bytes, byte i with level i in its lower half and level i + 16 in its upper one; x = d · (level -
  /// 8).
  case q4 = "q4_0"

  /// Numbers in a block.
  public static let blockSize = 32

  /// Bytes of a block.
  public var blockBytes: Int { self == .q8 ? 34 : 18 }

  /// The bytes of `count` numbers; nil where they do not fill blocks or overflow.
  public func byteCount(of count: Int) -> Int? {
    guard count >= 0, count % Self.blockSize == 0 else { return nil }
    let (bytes, overflow) = (count / Self.blockSize).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }

  /// - Precondition: the values fill blocks.
  public func encode(_ values: [Float]) -> [UInt8] {
    precondition(values.count % Self.blockSize == 0, "\(values.count) values do not fill blocks")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count / Self.blockSize * blockBytes)
    for first in stride(from: 0, to: values.count, by: Self.blockSize) {
      let block = values[first..<first + Self.blockSize]
      // Of equal magnitudes the first counts.
      let extreme = block.reduce(Float(0)) { $1.magnitude > $0.magnitude ? $1 : $0 }
      // The extreme takes the level -8, of which there is no positive counterpart.
      let step = self == .q8 ? extreme.magnitude / 127 : extreme / -8
      let inverse = step == 0 ? 0 : 1 / step
      let half = HalfFloat.binary16.bits(of: step)
      bytes += [UInt8(truncatingIfNeeded: half), UInt8(half >> 8)]
      switch self {
      case .q8:
        bytes += block.lazy.map { UInt8(bitPattern: Self.integer(($0 * inverse).rounded(.toNearestOrAwayFromZero))) }
      case .q4:
        let levels = block.map { UInt8(min(max(Self.integer(($0 * inverse + 8.5).rounded(.down)), 0), 15)) }
        bytes += (0..<16).map { levels[$0] | levels[$0 + 16] << 4 }
      }
    }
    return bytes
  }

  /// Writes the numbers of `bytes` to `values`.
  ///
  /// - Precondition: there are ``byteCount(of:)`` bytes.
  public func decode(_ bytes: UnsafeRawBufferPointer, into values: UnsafeMutableBufferPointer<Float>) {
    precondition(byteCount(of: values.count) == bytes.count, "\(bytes.count) bytes for \(values.count) values")
    for block in 0..<values.count / Self.blockSize {
      let source = UnsafeRawBufferPointer(rebasing: bytes[block * blockBytes..<(block + 1) * blockBytes])
      let step = HalfFloat.binary16.value(of: UInt16(source[0]) | UInt16(source[1]) << 8)
      let first = block * Self.blockSize
      switch self {
      case .q8:
        for index in 0..<32 { values[first + index] = Float(Int8(bitPattern: source[2 + index])) * step }
      case .q4:
        for index in 0..<16 {
          values[first + index] = (Float(source[2 + index] & 15) - 8) * step
          values[first + index + 16] = (Float(source[2 + index] >> 4) - 8) * step
        }
      }
    }
  }

  /// 0 for what is no number, and the bound for what lies beyond it.
  private static func integer(_ value: Float) -> Int8 { value.isNaN ? 0 : Int8(min(max(value, -128), 127)) }
}
