import Foundation

/// A folder under construction, next to where it will appear. Without ``commit()`` nothing of it remains.
package final class PartialFolder {
  /// Where to write.
  package let url: URL
  private let target: URL
  private var isCommitted = false

  /// Makes the folder, so that what cannot be written is known before anything is computed for it.
  ///
  /// - Throws: ``CheckpointError/Kind/unwritableFile`` where there is something at `target` already, or no folder can
  ///   be made there.
  package init(for target: URL) throws(CheckpointError) {
    self.target = target
    url = target.deletingLastPathComponent()
      .appending(path: ".\(UUID().uuidString).partial", directoryHint: .isDirectory)
    guard !FileManager.default.fileExists(atPath: target.path) else {
      throw CheckpointError(.unwritableFile, file: target, found: "something there", expected: "a new folder")
    }
    guard mkdir(url.path, 0o755) == 0 else {
      throw .system(.unwritableFile, file: target, expected: "a place that can be written to")
    }
  }

  deinit {
    if !isCommitted { try? FileManager.default.removeItem(at: url) }
  }

  /// Puts the folder in its target's place.
  ///
  /// - Throws: ``CheckpointError/Kind/unwritableFile`` where something has come there meanwhile.
  package func commit() throws(CheckpointError) {
    guard rename(url.path, target.path) == 0 else {
      throw .system(.unwritableFile, file: target, expected: "a new folder")
    }
    isCommitted = true
  }
}
