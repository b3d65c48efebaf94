/// The memory of a tensor, on a cache line's boundary.
///
/// Sendable although it can be written: a tensor writes only memory that it alone refers to.
final class DenseStorage<Scalar: DenseScalar>: @unchecked Sendable {
  let elements: UnsafeMutableBufferPointer<Scalar>
  private let owner: ActivationArena.Owner

  init(count: Int) {
    let (memory, owner) = ActivationArena.allocate(bytes: count * MemoryLayout<Scalar>.stride)
    elements = UnsafeMutableBufferPointer(start: memory.bindMemory(to: Scalar.self, capacity: count), count: count)
    self.owner = owner
  }

  convenience init(_ values: some Collection<Scalar>) {
    self.init(count: values.count)
    _ = elements.initialize(from: values)
  }

  deinit {
    owner.release(UnsafeMutableRawPointer(elements.baseAddress!))
  }
}
