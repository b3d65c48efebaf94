import CKernels
import Testing

@Suite("Threads")
struct ThreadTests {
  /// How often each task was run. Every task counts on its own, so that a thread sanitizer sees a pool that runs one
  /// twice.
  private static func run(_ pool: OpaquePointer?, tasks: Int) -> [Int] {
    var counts = Array(repeating: 0, count: tasks)
    counts.withUnsafeMutableBufferPointer { counts in
      fs_pool_run(
        pool, Int64(tasks), { $0!.assumingMemoryBound(to: Int.self)[Int($1)] += 1 },
        counts.baseAddress.map(UnsafeMutableRawPointer.init))
    }
    return counts
  }

  private struct Pool: @unchecked Sendable {
    let pointer: OpaquePointer?
  }

  @Test(arguments: [1, 2, 3, 7]) func everyTaskRunsOnce(_ threads: Int) {
    let pool = Pool(pointer: fs_pool_create(Int32(threads)))
    for tasks in [0, 1, 2, 3, 100, 1000] {
      for _ in 0..<20 { #expect(Self.run(pool.pointer, tasks: tasks) == Array(repeating: 1, count: tasks)) }
    }
  }

  @Test func manyCallersShareAPool() async {
    let pool = Pool(pointer: fs_pool_create(2))
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          (0..<50).allSatisfy { _ in Self.run(pool.pointer, tasks: 37) == Array(repeating: 1, count: 37) }
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }
}
