import Fewstep
import Foundation

extension ProcessMemory {
  /// Gives freed memory back and starts the peak anew; false where a peak cannot be started anew.
  static func resetPeak() -> Bool {
    release()
    guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return false }
    // 5 is the peak of the resident memory.
    return (try? file.write(contentsOf: Data("5".utf8))) != nil
  }
}
