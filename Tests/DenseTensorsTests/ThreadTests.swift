import CKernels
import DenseTensors
import Foundation
import Synchronization
import Tensors
import Testing

@Suite("Threads")
struct ThreadTests {
  struct Pool: @unchecked Sendable {
    let pointer: OpaquePointer?
    let threads: Int

    init(threads: Int) {
      pointer = fs_pool_create(Int32(threads))
      self.threads = threads
    }

    /// How often each task was run. Every task counts on its own, so that a thread sanitizer sees a pool that runs one
    /// twice.
    func run(tasks: Int) -> [Int] {
      var counts = Array(repeating: 0, count: tasks)
      counts.withUnsafeMutableBufferPointer { counts in
        fs_pool_run(
          pointer, Int64(tasks), { $0!.assumingMemoryBound(to: Int.self)[Int($1)] += 1 },
          counts.baseAddress.map(UnsafeMutableRawPointer.init))
      }
      return counts
    }
  }

  /// A pool lasts as long as the process.
  static let pools = [1, 2, 3, 7].map(Pool.init(threads:))

  @Test func aHeldPoolLeavesAllToTheCaller() {
    let pool = Pool(threads: 3)
    /// How many tasks the caller did not run.
    func othersTasks() -> Int {
      let caller = ObjectIdentifier(Thread.current)
      let others = Atomic<Int>(0)
      typealias Body = () -> Void
      let body: Body = {
        if ObjectIdentifier(Thread.current) != caller { others.add(1, ordering: .relaxed) }
      }
      withUnsafePointer(to: body) { pointer in
        fs_pool_run(
          pool.pointer, 1000, { context, _ in context!.assumingMemoryBound(to: Body.self).pointee() },
          UnsafeMutableRawPointer(mutating: pointer))
      }
      return others.load(ordering: .relaxed)
    }
    fs_pool_hold(pool.pointer)
    #expect(othersTasks() == 0)
    fs_pool_release(pool.pointer)
    #expect(pool.run(tasks: 1000) == Array(repeating: 1, count: 1000))
  }

  @Test(arguments: pools) func everyTaskRunsOnce(_ pool: Pool) {
    #expect(pool.pointer != nil)
    // The last ones are more than a thread's share can hold.
    for tasks in [0, 1, 2, 3, 100, 1000, 65_535, 65_536, 200_001] {
      for _ in 0..<min(50, 500_000 / max(tasks, 1)) {
        #expect(pool.run(tasks: tasks) == Array(repeating: 1, count: tasks))
      }
    }
  }

  @Test func withoutAPoolTheCallerDoesTheTasks() {
    #expect(Pool(threads: 1).run(tasks: 5) == [1, 1, 1, 1, 1])
    var sum = 0
    fs_pool_run(nil, 10, { $0!.assumingMemoryBound(to: Int.self).pointee += Int($1) }, &sum)
    #expect(sum == 45)
  }

  /// What the tasks of one meeting share.
  private final class Meeting: Sendable {
    let arrived = Atomic(0)
    let met = Atomic(0)
    let expected: Int
    let deadline = Date(timeIntervalSinceNow: 20)

    init(expected: Int) { self.expected = expected }

    /// Waits for all others, who can come only on threads of their own.
    func attend() {
      arrived.add(1, ordering: .sequentiallyConsistent)
      while arrived.load(ordering: .sequentiallyConsistent) < expected {
        guard Date() < deadline else { return }
        sched_yield()
      }
      met.add(1, ordering: .sequentiallyConsistent)
    }
  }

  /// As many tasks as threads meet, also when all threads have gone to sleep in between. In a pool of their own: one that
  /// another test is using leaves all tasks to the caller.
  @Test(arguments: [1, 2, 3, 7]) func allThreadsTakePart(_ threads: Int) {
    let pool = Pool(threads: threads)
    // Longer than threads wait awake, and not at all.
    for pause: UInt32 in [100_000, 0, 100_000, 0, 0] {
      usleep(pause)
      let meeting = Meeting(expected: pool.threads)
      fs_pool_run(
        pool.pointer, Int64(pool.threads),
        { context, _ in Unmanaged<Meeting>.fromOpaque(context!).takeUnretainedValue().attend() },
        Unmanaged.passUnretained(meeting).toOpaque())
      #expect(meeting.met.load(ordering: .sequentiallyConsistent) == pool.threads)
    }
  }

  /// Which thread runs which task, of as many as there are threads. None is taken from another thread, for all wait until
  /// every one is under way.
  @Test(arguments: [2, 3, 7]) func aThreadKeepsItsShare(_ threads: Int) {
    let pool = Pool(threads: threads)
    func runners() -> [ObjectIdentifier?] {
      let meeting = Meeting(expected: threads)
      let runners = Lock([ObjectIdentifier?](repeating: nil, count: threads))
      typealias Body = (Int) -> Void
      let body: Body = { task in
        runners.withLock { $0[task] = ObjectIdentifier(Thread.current) }
        meeting.attend()
      }
      withUnsafePointer(to: body) { pointer in
        fs_pool_run(
          pool.pointer, Int64(threads), { $0!.assumingMemoryBound(to: Body.self).pointee(Int($1)) },
          UnsafeMutableRawPointer(mutating: pointer))
      }
      return runners.withLock { $0 }
    }
    let first = runners()
    #expect(first[0] == ObjectIdentifier(Thread.current))
    #expect(Set(first).count == threads)
    for _ in 0..<5 { #expect(runners() == first) }
  }

  /// A call from within a task does its tasks before it returns.
  @Test(arguments: pools) func callsCanBeNested(_ pool: Pool) {
    struct Context {
      let pool: OpaquePointer?
      let counts: UnsafeMutablePointer<Int>
    }
    let (outer, inner) = (40, 25)
    var counts = Array(repeating: 0, count: outer * inner)
    counts.withUnsafeMutableBufferPointer { buffer in
      var context = Context(pool: pool.pointer, counts: buffer.baseAddress!)
      fs_pool_run(
        pool.pointer, Int64(outer),
        { context, task in
          let context = context!.assumingMemoryBound(to: Context.self).pointee
          let own = context.counts + Int(task) * 25
          fs_pool_run(context.pool, 25, { $0!.assumingMemoryBound(to: Int.self)[Int($1)] += 1 }, own)
          // All are done: doubling shows one that comes later.
          for index in 0..<25 { own[index] *= 2 }
        }, &context)
    }
    #expect(counts == Array(repeating: 2, count: outer * inner))
  }

  @Test(arguments: pools) func manyCallersShareAPool(_ pool: Pool) async {
    await withTaskGroup(of: Bool.self) { group in
      for caller in 0..<8 {
        group.addTask {
          (0..<100).allSatisfy { round in
            let tasks = (caller * 31 + round * 7) % 60
            return pool.run(tasks: tasks) == Array(repeating: 1, count: tasks)
          }
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  /// The ranges that work is cut into: multiples of the grain but for the last, each number in one of them.
  @Test(arguments: [0, 1, 2, 7, 8, 9, 1000, 4097], [1, 3, 8, 5000]) func rangesCoverEachNumberOnce(
    _ count: Int, _ grain: Int
  ) {
    let ranges = Lock([Range<Int>]())  // one that a thread sanitizer knows
    ThreadPool.forEachRange(count, grain: grain) { range in ranges.withLock { $0.append(range) } }
    let sorted = ranges.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
    #expect(sorted.flatMap { Array($0) } == Array(0..<count))
    #expect(sorted.dropLast().allSatisfy { $0.count % grain == 0 } && sorted.allSatisfy { !$0.isEmpty })
  }
}
