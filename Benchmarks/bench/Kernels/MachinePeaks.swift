import BenchSupport
import Fewstep
import Foundation

/// On how many threads something is measured.
enum Threads: String, CaseIterable, Encodable {
  case one, all

  func run(_ body: () -> Void) {
    switch self {
    case .one: ThreadPool.onOneThread(body)
    case .all: body()
    }
  }
}

/// The least time of many runs: what other programs disturbed least.
enum BestTime {
  /// In milliseconds, of as many runs as fit into `budget` seconds, and of three at least, after one that warms up.
  static func milliseconds(budget: Double = 0.25, _ job: () -> Void) -> Double {
    job()
    var best = Double.infinity
    let start = ContinuousClock.now
    var runs = 0
    while runs < 3 || (ContinuousClock.now - start) / .seconds(1) < budget {
      let begin = ContinuousClock.now
      job()
      best = min(best, (ContinuousClock.now - begin) / .milliseconds(1))
      runs += 1
    }
    return best
  }
}

/// What the machine's arithmetic and memory can do, measured.
struct MachinePeaks: Encodable {
  /// 10⁹ multiplications and additions in a second; nil where the CPU has no such instruction.
  let float32: Double
  let bfloat16: Double?
  let int8: Double?
  /// GB/s, read and written, of copies of ``activationBytes``, which a last-level cache may hold.
  let copy: Double
  /// The same of copies that no cache holds.
  let memoryCopy: Double

  /// A picture of 64x64 with 320 channels in single precision.
  static let activationBytes = 64 * 64 * 320 * 4

  static func measure(on threads: Threads) -> MachinePeaks {
    MachinePeaks(
      float32: rate(threads, bench_multiply_add) ?? 0, bfloat16: rate(threads, bench_bfloat16_dot),
      int8: rate(threads, bench_int8_dot), copy: copyRate(threads, bytes: activationBytes),
      memoryCopy: copyRate(threads, bytes: 256 << 20))
  }

  static func printTable(_ peaks: [(threads: Threads, peaks: MachinePeaks)]) {
    print("The machine's own peak")
    let table = TablePrinter(
      columns: [("", 44)] + peaks.map { ($0.threads == .one ? "one thread" : "\(ThreadPool.threadCount) threads", 10) })
    table.printHeading()
    func row(_ label: String, _ value: (MachinePeaks) -> Double?) {
      table.printRow([label] + peaks.map { decimal(value($0.peaks), 0) })
    }
    row("fused multiply-add, float32, GFLOP/s") { $0.float32 }
    row("dot products of bfloat16, GFLOP/s") { $0.bfloat16 }
    row("dot products of 8-bit integers, GOP/s") { $0.int8 }
    row("copying 64x64x320 floats, read + write, GB/s") { $0.copy }
    row("copying 256 MiB, read + write, GB/s") { $0.memoryCopy }
    print("")
  }

  private static func rate(_ threads: Threads, _ loop: @escaping @Sendable (Int64) -> Double) -> Double? {
    let rounds: Int64 = 1_000_000
    let operations = loop(rounds)
    guard operations > 0 else { return nil }
    let tasks = threads == .one ? 1 : ThreadPool.threadCount
    let milliseconds = BestTime.milliseconds {
      threads.run { ThreadPool.forEachRange(tasks, grain: 1) { for _ in $0 { _ = loop(rounds) } } }
    }
    return operations * Double(tasks) / milliseconds / 1e6
  }

  private static func copyRate(_ threads: Threads, bytes: Int) -> Double {
    let (source, target) = (Buffer(bytes: bytes), Buffer(bytes: bytes))
    let milliseconds = BestTime.milliseconds {
      threads.run {
        ThreadPool.forEachRange(bytes, grain: 4096) { range in
          memcpy(target.start + range.lowerBound, source.start + range.lowerBound, range.count)
        }
      }
    }
    return 2 * Double(bytes) / milliseconds / 1e6
  }

  /// Memory that has been written, since what has not been may share one page of zeros.
  private final class Buffer: @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    init(bytes: Int) {
      start = .allocate(byteCount: bytes, alignment: 64)
      memset(start, 1, bytes)
    }

    deinit { start.deallocate() }
  }
}
