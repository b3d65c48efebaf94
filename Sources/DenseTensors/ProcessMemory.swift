import CKernels
import Foundation

/// The memory of this process, where the system tells.
package enum ProcessMemory {
  /// Gives freed memory back to the system.
  package static func release() { fs_release_memory() }

  /// The most bytes that have been resident at once; nil where nobody counts them.
  package static var peak: Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { 1024 * $0 }
  }
}
