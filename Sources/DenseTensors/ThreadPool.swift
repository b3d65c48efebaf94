import CKernels
import COpenBLAS
import Foundation

/// The threads that all kernels share, as many as there are cores.
///
/// The environment variable FEWSTEP_THREADS overrides the number; no result depends on it. No kernel calls OpenBLAS,
/// which is kept to one thread for what does: LAPACKE, and the benchmarks, which call its products from these to
/// compare with.
public enum ThreadPool {
  /// The number of threads, the caller's included.
  public static let threadCount: Int = {
    let wanted = ProcessInfo.processInfo.environment["FEWSTEP_THREADS"].flatMap { Int($0) }
    return min(max(wanted ?? ProcessInfo.processInfo.activeProcessorCount, 1), 256)
  }()

  /// The threads that share the calling code's tasks.
  static var width: Int { BatchParts.isPart ? 1 : threadCount }

  /// The instruction set that the kernels use: `amx`, `avx512bf16`, `avx512vnni`, `avx512`, `avxvnni`,
  /// `avx2` or `portable`.
  public static var instructionSet: String { String(cString: fs_isa_name()) }

  /// Whether the kernels have instructions for products of bfloat16.
  public static var multipliesBFloat16: Bool { fs_rounds_inputs() }

  /// An address that is written once.
  private struct Handle: @unchecked Sendable {
    let pool: OpaquePointer?
  }

  private static let shared: Handle = {
    openblas_set_num_threads(1)
    return Handle(pool: fs_pool_create(Int32(threadCount)))
  }()

  /// Calls `body` for every task below `count`, in any order and on all threads, and returns when all are done.
  static func forEach(_ count: Int, _ body: (Int) -> Void) {
    if ActivationArena.isRehearsing { return }
    typealias Body = (Int) -> Void
    withoutActuallyEscaping(body) { escaping in
      withUnsafePointer(to: escaping) { pointer in
        fs_pool_run(
          shared.pool, Int64(count),
          { context, task in context!.assumingMemoryBound(to: Body.self).pointee(Int(task)) },
          UnsafeMutableRawPointer(mutating: pointer))
      }
    }
  }

  /// Calls `body` with all that it runs kept to the calling thread.
  package static func onOneThread(_ body: () -> Void) {
    fs_pool_hold(shared.pool)
    defer { fs_pool_release(shared.pool) }
    body()
  }

  /// Cuts `0 ..< count` into ranges of equal size, a multiple of `grain`, and calls `body` for each.
  package static func forEachRange(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    // A few pieces per thread even out threads that are interrupted.
    let grains = (count + grain - 1) / grain
    let size = max(1, (grains + 4 * width - 1) / (4 * width)) * grain
    forEach((count + size - 1) / size) { task in
      body(task * size..<min((task + 1) * size, count))
    }
  }
}

/// Memory for `count` floats that a task uses while it runs, the thread's own.
func threadScratch(_ count: Int) -> UnsafeMutablePointer<Float> {
  fs_thread_scratch(count * MemoryLayout<Float>.stride).assumingMemoryBound(to: Float.self)
}
