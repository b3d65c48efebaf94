import ArgumentParser
import Fewstep
import Foundation

struct Kernels: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "The machine's peak, and each kernel at the sizes of real layers beside it.",
    discussion: """
      Every time is the least of as many runs as fit into a quarter of a second. OpenBLAS's column is its matrix product \
      of the same size on all threads; a convolution's gathered rows are given to it for nothing. What Winograd's \
      convolution needs beside its operands, on all threads, is its scratch.
      """)

  @Option(
    help: ArgumentHelp(
      "Measure only this: \(KernelCase.Section.allCases.map(\.rawValue).joined(separator: ", ")) or peaks.",
      valueName: "section"))
  var only: String?

  @OptionGroup var figures: FigureOptions

  func validate() throws {
    let names = KernelCase.Section.allCases.map(\.rawValue) + ["peaks"]
    if let only, !names.contains(only) {
      throw ValidationError("--only \(only): there are \(names.joined(separator: ", "))")
    }
  }

  struct Figures: Encodable {
    let machine: Machine
    let peaks: [String: MachinePeaks]
    let kernels: [KernelTable.Result]
  }

  func measure(on machine: Machine) async throws {
    let peaks = Threads.measured.map { (threads: $0, peaks: MachinePeaks.measure(on: $0)) }
    MachinePeaks.printTable(peaks)
    let results = KernelCase.Section.allCases.filter { only == nil || only == $0.rawValue }
      .flatMap { KernelTable(section: $0, peaks: peaks).measure() }
    let named = Dictionary(uniqueKeysWithValues: peaks.map { ($0.threads.rawValue, $0.peaks) })
    try figures.write(Figures(machine: machine, peaks: named, kernels: results))
  }
}

extension Threads {
  /// One, and all where those are more.
  static var measured: [Threads] { ThreadPool.threadCount > 1 ? [.one, .all] : [.one] }
}

/// One section's kernels, on one thread and on all, each as milliseconds, rate and share of the peak.
struct KernelTable {
  let section: KernelCase.Section
  let peaks: [(threads: Threads, peaks: MachinePeaks)]

  struct Result: Encodable {
    let section: String
    let kernel: String
    let format: WeightFormat
    let threads: Threads
    let milliseconds: Double
    /// GFLOP/s, or GB/s of passes.
    let rate: Double
    /// Of the peak, 1 being all of it.
    let share: Double
    let openBLASRate: Double?
    /// What Winograd's convolution takes beside its operands; 0 where the convolution is evaluated directly.
    let scratchBytes: Int?
  }

  func measure() -> [Result] {
    print(section.title)
    let unit = section == .passes ? "GB/s" : "GFLOP/s"
    let hasProducts = section == .products || section == .convolutions
    let table = TablePrinter(
      columns: [("kernel", section == .passes ? 32 : 24), ("weights", 8)]
        + peaks.flatMap { [("ms, \($0.threads.rawValue)", 9), (unit, 7), ("of peak", 7)] }
        + (hasProducts ? [("OpenBLAS", 8)] : []) + (section == .convolutions ? [("scratch", 7)] : []))
    table.printHeading()
    var results: [Result] = []
    for kernel in KernelCase.all(of: section) {
      let job = kernel.make()
      let openBLAS = kernel.product.map { kernel.rate(milliseconds: BestTime.milliseconds($0.make())) }
      // As in a network, outputs lie in memory that the system need not clear first.
      let memory = ActivationMemory<Int>()
      let own = peaks.map { threads, peaks in
        let milliseconds = BestTime.milliseconds { threads.run { memory.run(0, job.run) } }
        let rate = kernel.rate(milliseconds: milliseconds)
        return Result(
          section: section.rawValue, kernel: kernel.label, format: kernel.format, threads: threads,
          milliseconds: milliseconds, rate: rate, share: rate / kernel.peak(of: peaks), openBLASRate: openBLAS,
          scratchBytes: job.scratchBytes)
      }
      results += own
      table.printRow(
        [kernel.label, kernel.format.rawValue]
          + own.flatMap { [decimal($0.milliseconds, 3), decimal($0.rate, 0), "\(decimal(100 * $0.share, 0)) %"] }
          + (hasProducts ? [decimal(openBLAS, 0)] : [])
          + (job.scratchBytes.map { [$0 > 0 ? "\(decimal(Double($0) / 1e6, 1)) MB" : "-"] } ?? []))
    }
    print("")
    return results
  }
}

extension KernelCase {
  /// GFLOP/s or GB/s.
  func rate(milliseconds: Double) -> Double {
    switch work {
    case .operations(let count), .bytes(let count, _): count / milliseconds / 1e6
    }
  }

  func peak(of peaks: MachinePeaks) -> Double {
    switch work {
    case .operations: format.peak(of: peaks)
    case .bytes(_, let activation): peaks.copies[activation]!
    }
  }
}
