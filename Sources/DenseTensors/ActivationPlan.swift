/// Where every tensor of a computation lies in one block of memory.
///
/// Made by a rehearsal of the computation that computes nothing, so that the memory it takes is known before it is run,
/// and is one block however often it is run.
public struct ActivationPlan: Hashable, Sendable {
  /// A tensor, in the order in which tensors are made.
  struct Slot: Hashable, Sendable {
    let bytes: Int
    /// nil for what outlives the computation, and so gets memory of its own.
    let offset: Int?
  }

  let slots: [Slot]
  /// The size of the block.
  let arenaBytes: Int
  /// Of computations that run at once, in blocks of their own.
  let parts: [ActivationPlan]

  /// The most memory that tensors take at once, results included.
  public var peakBytes: Int {
    let results = slots.reduce(0) { $0 + ($1.offset == nil ? $1.bytes : 0) }
    return parts.reduce(arenaBytes + results) { $0 + $1.peakBytes }
  }

  /// A tensor's size, and the operations between which it lives; results live on.
  struct Lifetime {
    var bytes: Int
    var birth: Int
    var death: Int?
  }

  /// Places the largest tensors first, each as low as those that live at the same time allow.
  init(_ lifetimes: [Lifetime], parts: [ActivationPlan] = []) {
    var offsets: [Int?] = Array(repeating: nil, count: lifetimes.count)
    /// Indices of tensors that have a place, by their places.
    var placed: [Int] = []
    var end = 0
    let order = lifetimes.indices.filter { lifetimes[$0].death != nil }
      .sorted { (lifetimes[$1].bytes, $0) < (lifetimes[$0].bytes, $1) }
    for index in order {
      let own = lifetimes[index]
      let size = Self.aligned(own.bytes)
      var offset = 0
      for other in placed where lifetimes[other].overlaps(own) {
        let start = offsets[other]!
        // The first gap that is wide enough.
        if start >= offset + size { break }
        offset = max(offset, start + Self.aligned(lifetimes[other].bytes))
      }
      offsets[index] = offset
      end = max(end, offset + size)
      placed.insert(index, at: placed.firstIndex { offsets[$0]! > offset } ?? placed.count)
    }
    slots = zip(lifetimes, offsets).map { Slot(bytes: $0.bytes, offset: $1) }
    arenaBytes = end
    self.parts = parts
  }

  /// Tensors begin on cache lines.
  private static func aligned(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }
}

extension ActivationPlan.Lifetime {
  func overlaps(_ other: Self) -> Bool {
    birth < (other.death ?? .max) && other.birth < (death ?? .max)
  }
}
