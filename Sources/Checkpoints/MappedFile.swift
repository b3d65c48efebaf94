import Foundation

/// A file's bytes, mapped into memory for reading until the last reference is gone.
///
/// `@unchecked Sendable`: the mapping is never written and its address never changes.
///
/// Another process that shortens the file while it is mapped takes pages away, and reading those stops this process:
/// replace a model's file by renaming another over it, as ``SafetensorsWriter`` does.
final class MappedFile: @unchecked Sendable {
  let url: URL
  private let mapping: UnsafeRawBufferPointer

  init(url: URL) throws(CheckpointError) {
    // Without O_NONBLOCK, opening a named pipe would wait for its writer.
    let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw .system(.unreadableFile, file: url, expected: "a file that can be opened")
    }
    defer { close(descriptor) }

    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw CheckpointError(.unreadableFile, file: url, found: "no regular file", expected: "a file")
    }
    guard let size = Int(exactly: status.st_size), size > 0 else {
      self.url = url
      mapping = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw .system(.unreadableFile, file: url, expected: "a file that can be mapped")
    }
    self.url = url
    mapping = UnsafeRawBufferPointer(start: base, count: size)
  }

  deinit {
    if let base = mapping.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), mapping.count) }
  }

  /// The number of bytes.
  var count: Int { mapping.count }

  /// Calls `body` with the bytes in `range`, which must lie in the file. They stay mapped during the call only: without
  /// the lifetime's extension, the last use of the object itself could end it earlier.
  func withBytes<Result>(in range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    withExtendedLifetime(self) { body(UnsafeRawBufferPointer(rebasing: mapping[range])) }
  }

  /// Tells the system that the bytes in `range` will hardly be read again. They can be, from the file; until then they
  /// take no memory of this process. Nor do their neighbours, which the system maps along with them.
  func discard(_ range: Range<Int>) {
    let chunk = max(Int(sysconf(Int32(_SC_PAGESIZE))), 65536)
    let first = range.lowerBound / chunk * chunk
    let last = min((range.upperBound + chunk - 1) / chunk * chunk, mapping.count)
    guard first < last, let base = mapping.baseAddress else { return }
    _ = madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
  }
}
