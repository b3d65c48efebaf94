#if canImport(Glibc)
  import Glibc
#endif

/// The memory of a tensor, on a cache line's boundary.
///
/// Sendable although it can be written: a tensor writes only memory that it alone refers to.
final class DenseStorage<Scalar: DenseScalar>: @unchecked Sendable {
  let elements: UnsafeMutableBufferPointer<Scalar>

  private static var hugePage: Int { 2 << 20 }

  /// From here on the C library does not keep freed memory for the next tensor.
  private static var hugeBytes: Int { 32 << 20 }

  init(count: Int) {
    let bytes = count * MemoryLayout<Scalar>.stride
    let raw = UnsafeMutableRawBufferPointer.allocate(
      byteCount: bytes, alignment: bytes < Self.hugeBytes ? 64 : Self.hugePage)
    #if os(Linux)
      // Such memory is new from the system every time, and bringing in page after page would take longer than many a
      // layer. Where the system has no huge pages, the advice does nothing.
      if bytes >= Self.hugeBytes { madvise(raw.baseAddress, bytes, MADV_HUGEPAGE) }
    #endif
    elements = UnsafeMutableBufferPointer(start: raw.bindMemory(to: Scalar.self).baseAddress, count: count)
  }

  deinit {
    UnsafeMutableRawBufferPointer(elements).deallocate()
  }
}
