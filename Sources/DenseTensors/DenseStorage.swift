/// The memory of a tensor, on a cache line's boundary.
///
/// Sendable although it can be written: a tensor writes only memory that it alone refers to.
final class DenseStorage<Scalar: DenseScalar>: @unchecked Sendable {
  let elements: UnsafeMutableBufferPointer<Scalar>

  init(count: Int) {
    let raw = UnsafeMutableRawBufferPointer.allocate(byteCount: count * MemoryLayout<Scalar>.stride, alignment: 64)
    elements = UnsafeMutableBufferPointer(start: raw.bindMemory(to: Scalar.self).baseAddress, count: count)
  }

  deinit {
    UnsafeMutableRawBufferPointer(elements).deallocate()
  }
}
