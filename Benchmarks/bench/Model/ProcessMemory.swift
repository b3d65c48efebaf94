import BenchSupport
import Foundation

/// The memory of this process, where the system tells.
enum ProcessMemory {
  /// Gives freed memory back and starts the peak anew; false where a peak cannot be started anew.
  static func resetPeak() -> Bool {
    bench_release_memory()
    guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return false }
    // 5 is the peak of the resident memory.
    return (try? file.write(contentsOf: Data("5".utf8))) != nil
  }

  /// The most bytes that were resident at once since ``resetPeak()``.
  static var peak: Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { 1024 * $0 }
  }
}
