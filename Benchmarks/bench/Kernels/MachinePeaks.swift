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
  /// GB/s, read and written, of copying as many bytes as an activation has, the faster way: through the caches or past
  /// them.
  let copies: [Activation: Double]

  /// The activations that passes are measured on.
  enum Activation: String, CaseIterable, CodingKeyRepresentable, Encodable {
    /// Of the UNet of Stable Diffusion 1, 5 MB: a last-level cache may hold it.
    case cached = "64x64x320"
    /// Of its decoder, 134 MB.
    case large = "512x512x128"

    var shape: Shape {
      switch self {
      case .cached: [1, 64, 64, 320]
      case .large: [1, 512, 512, 128]
      }
    }

    var bytes: Int { shape.count * MemoryLayout<Float>.stride }
  }

  static func measure(on threads: Threads) -> MachinePeaks {
    let tiles = ThreadPool.instructionSet == "amx"
    return MachinePeaks(
      float32: rate(threads, bench_multiply_add) ?? 0, bfloat16: rate(threads) { bench_bfloat16_dot($0, tiles) },
      int8: rate(threads) { bench_int8_dot($0, tiles) },
      copies: Dictionary(
        uniqueKeysWithValues: Activation.allCases.map { ($0, copyRate(threads, bytes: $0.bytes)) }))
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
    for activation in Activation.allCases {
      row("copying \(activation.rawValue) floats, read + write, GB/s") { $0.copies[activation] }
    }
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
    func milliseconds(_ copy: (UnsafeMutableRawPointer, UnsafeRawPointer, Int) -> Void) -> Double {
      BestTime.milliseconds {
        threads.run {
          ThreadPool.forEachRange(bytes, grain: 4096) { range in
            copy(target.start + range.lowerBound, source.start + range.lowerBound, range.count)
          }
        }
      }
    }
    let milliseconds = min(
      milliseconds { memcpy($0, $1, $2) }, milliseconds { bench_stream_copy($0, $1, Int64($2)) })
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
