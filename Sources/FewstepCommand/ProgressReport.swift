import Foundation

/// How far a run is, on standard error: a bar on a terminal, else a line for every tenth of the way.
final class ProgressReport {
  private let total: Int
  private let images: Int
  /// nil where nobody knows.
  private let steps: Int?
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = ContinuousClock.now
  private var reportedTenths = 0
  private var hasBar = false

  init(steps: Int?, images: Int) {
    self.steps = steps
    self.images = images
    total = (steps ?? 0) * images
  }

  /// `step` is done for `images` of the run.
  func update(step: Int, images range: Range<Int>) {
    guard let steps else {
      if isTerminal {
        write("\r\u{1B}[Kstep \(step)")
        hasBar = true
      }
      return
    }
    let done = range.lowerBound * steps + step * range.count
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
    let left = elapsed / Double(done) * Double(total - done)
    let shown =
      range.count == 1 ? "image \(range.upperBound)" : "images \(range.lowerBound + 1)-\(range.upperBound)"
    let label = images == 1 ? "" : "\(shown) of \(images), "
    let text = "\(label)step \(step) of \(steps), \(Self.duration(left)) left"
    if isTerminal {
      let width = 28
      let filled = done * width / total
      let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
      write("\r\u{1B}[K\(bar) \(text)")
      hasBar = true
    } else {
      let tenths = done * 10 / total
      guard tenths > reportedTenths else { return }
      reportedTenths = tenths
      write("\(text)\n")
    }
  }

  /// A remark on a line of its own.
  func note(_ text: String) {
    write("\(hasBar ? "\r\u{1B}[K" : "")note: \(text)\n")
  }

  func finish() {
    if hasBar { write("\r\u{1B}[K") }
  }

  private static func duration(_ seconds: Double) -> String {
    seconds < 60
      ? String(format: "%.1f s", seconds) : String(format: "%d min %02d s", Int(seconds) / 60, Int(seconds) % 60)
  }

  private func write(_ text: String) {
    FileHandle.standardError.write(Data(text.utf8))
  }
}
