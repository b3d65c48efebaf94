import Quantization

/// Widening of 16-bit floats in a file.
enum HalfPrecision {
  /// Widens `destination.count` binary16 numbers. `source` holds two bytes for each and need not be aligned.
  static func widen(binary16 source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>) {
    for index in 0..<destination.count {
      destination[index] = HalfFloat.float(
        binary16: source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
    }
  }

  /// Widens `destination.count` bfloat16 numbers. `source` holds two bytes for each and need not be aligned.
  static func widen(bfloat16 source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>) {
    for index in 0..<destination.count {
      destination[index] = HalfFloat.float(
        bfloat16: source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
    }
  }
}
