import Tensors

/// Memory for the tensors of a computation that is run again and again, such as a network's forward pass.
///
/// The first rehearsal makes an ``ActivationPlan``; every run then finds its tensors' memory in one block. Where a run
/// differs from the plan, or a tensor of an earlier one is still in use, a tensor gets memory of its own, and all is
/// well but slower. An arena serves one run at a time.
public final class ActivationArena: Sendable {
  public let plan: ActivationPlan
  /// Written through the tensors that lie in it, of which no two overlap.
  private nonisolated(unsafe) let block: UnsafeMutableRawPointer
  /// Of parts that run at once, by the plan's.
  private let parts: [ActivationArena]
  private let occupation = Lock(Occupation())

  private struct Occupation {
    /// The slot of the next tensor.
    var next = 0
    /// Slots that tensors lie in.
    var occupied: Set<Int> = []
    /// Tensors of the run that found no place, although the plan has one for all but results.
    var strays = 0
    /// The arena of the next part.
    var nextPart = 0
  }

  @TaskLocal private static var current: ActivationArena?
  @TaskLocal private static var rehearsal: Rehearsal?

  public init(_ plan: ActivationPlan) {
    self.plan = plan
    block = .allocate(byteCount: max(plan.arenaBytes, 64), alignment: 64)
    parts = plan.parts.map(ActivationArena.init)
  }

  deinit {
    block.deallocate()
  }

  /// Runs `body`, whose tensors come from this arena.
  public func run<Result>(_ body: () throws -> Result) rethrows -> Result {
    occupation.withLock { ($0.next, $0.strays, $0.nextPart) = (0, 0, 0) }
    return try Self.$current.withValue(self, operation: body)
  }

  /// Goes through `body` without computing anything, for the plan of its tensors. What they hold is undefined.
  public static func rehearse<Result>(_ body: () throws -> Result) rethrows -> ActivationPlan {
    let rehearsal = Rehearsal()
    let result = try $rehearsal.withValue(rehearsal, operation: body)
    return withExtendedLifetime(result) { rehearsal.plan() }
  }

  /// How many tensors of the newest run got memory of their own because it differed from the plan.
  public var strayCount: Int { parts.reduce(occupation.withLock { $0.strays }) { $0 + $1.strayCount } }

  /// Runs parts of a computation at once, each on one thread and with a block of its own.
  static func runParts(_ count: Int, _ body: (Int) -> Void) {
    func run(_ part: Int) { BatchParts.$isPart.withValue(true) { body(part) } }
    if let rehearsal {
      for part in 0..<count { rehearsal.note(rehearse { run(part) }) }
      return
    }
    let arenas = current?.takeParts(count)
    ThreadPool.forEach(count) { part in
      if let arenas { arenas[arenas.startIndex + part].run { run(part) } } else { outside { run(part) } }
    }
  }

  /// The arenas of the next parts, if the plan has any.
  private func takeParts(_ count: Int) -> ArraySlice<ActivationArena>? {
    let first = occupation.withLock { occupation in
      defer { occupation.nextPart += count }
      return occupation.nextPart
    }
    return first + count <= parts.count ? parts[first..<first + count] : nil
  }

  /// Runs `body`, whose tensors are to outlive any arena.
  static func outside<Result>(_ body: () throws -> Result) rethrows -> Result {
    try $current.withValue(nil) { try $rehearsal.withValue(nil, operation: body) }
  }

  /// Whether nothing is to be computed.
  static var isRehearsing: Bool { rehearsal != nil }

  /// Memory for a tensor's elements, and what is to be told when it is no longer in use.
  static func allocate(bytes: Int) -> (pointer: UnsafeMutableRawPointer, owner: Owner) {
    if let (pointer, slot) = current?.place(bytes: bytes) { return (pointer, .arena(current!, slot: slot)) }
    let pointer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    return (pointer, rehearsal.map { .rehearsal($0, index: $0.note(bytes: bytes)) } ?? .heap)
  }

  enum Owner: Sendable {
    case heap
    case arena(ActivationArena, slot: Int)
    case rehearsal(Rehearsal, index: Int)

    func release(_ pointer: UnsafeMutableRawPointer) {
      switch self {
      case .heap: pointer.deallocate()
      case .arena(let arena, let slot): arena.occupation.withLock { _ = $0.occupied.remove(slot) }
      case .rehearsal(let rehearsal, let index):
        rehearsal.forget(index)
        pointer.deallocate()
      }
    }
  }

  private func place(bytes: Int) -> (UnsafeMutableRawPointer, slot: Int)? {
    let slot: Int? = occupation.withLock { occupation in
      let slot = occupation.next
      occupation.next += 1
      guard slot < plan.slots.count, plan.slots[slot].bytes == bytes, plan.slots[slot].offset != nil,
        !occupation.occupied.contains(where: { overlap($0, slot) })
      else {
        occupation.strays += slot < plan.slots.count && plan.slots[slot].offset == nil ? 0 : 1
        return nil
      }
      occupation.occupied.insert(slot)
      return slot
    }
    return slot.map { (block + plan.slots[$0].offset!, $0) }
  }

  private func overlap(_ first: Int, _ second: Int) -> Bool {
    guard let left = plan.slots[first].offset, let right = plan.slots[second].offset else { return false }
    return left < right + plan.slots[second].bytes && right < left + plan.slots[first].bytes
  }

  /// Notes when tensors come and go.
  final class Rehearsal: Sendable {
    private let lifetimes = Lock<(list: [ActivationPlan.Lifetime], time: Int)>(([], 0))
    private let parts = Lock<[ActivationPlan]>([])

    func note(bytes: Int) -> Int {
      lifetimes.withLock {
        $0.time += 1
        $0.list.append(.init(bytes: bytes, birth: $0.time, death: nil))
        return $0.list.count - 1
      }
    }

    func forget(_ index: Int) {
      lifetimes.withLock {
        $0.time += 1
        $0.list[index].death = $0.time
      }
    }

    /// Notes a part, whose plan has been made by a rehearsal of its own.
    func note(_ part: ActivationPlan) { parts.withLock { $0.append(part) } }

    func plan() -> ActivationPlan {
      let parts = parts.withLock { $0 }
      return lifetimes.withLock { ActivationPlan($0.list, parts: parts) }
    }
  }
}
