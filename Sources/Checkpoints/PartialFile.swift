import Foundation

/// A file under construction, next to the one it will replace. Without ``commit()`` nothing of it remains.
final class PartialFile {
  private let target: URL
  private let temporary: URL
  private let descriptor: Int32
  private var isCommitted = false

  init(for target: URL) throws(CheckpointError) {
    self.target = target
    temporary = target.deletingLastPathComponent()
      .appending(path: ".\(UUID().uuidString).partial", directoryHint: .notDirectory)
    descriptor = open(temporary.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw .system(.unwritableFile, file: target, expected: "a folder that can be written to")
    }
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if !isCommitted { unlink(temporary.path) }
  }

  /// Appends the bytes of `values`.
  func write<Element: BitwiseCopyable>(_ values: [Element]) throws(CheckpointError) {
    guard values.withUnsafeBytes(append) else { throw failure }
  }

  /// Appends all of `bytes`, however few the system takes at a time; false leaves the reason in `errno`.
  private func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return false }
      rest = rest.dropFirst(written)
    }
    return true
  }

  /// Puts the file in its target's place.
  func commit() throws(CheckpointError) {
    guard fsync(descriptor) == 0, rename(temporary.path, target.path) == 0 else { throw failure }
    isCommitted = true
  }

  private var failure: CheckpointError { .system(.unwritableFile, file: target, expected: "room for the file") }
}
