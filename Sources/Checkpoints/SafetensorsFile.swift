import Foundation
import Tensors

/// A safetensors file, mapped into memory and checked in full before anything is read from it.
///
/// The checks are those of the format's own reader, and stricter in three places: unknown fields, escapes that are no
/// Unicode, and names that differ only by canonical equivalence are refused. No size in the file is trusted before it
/// has been compared with the file's length.
///
/// A value can be copied and used by many threads; the mapping goes when the last copy does. The file must not be
/// shortened in the meantime: replace it by renaming another over it.
public struct SafetensorsFile: Sendable {
  /// The file the tensors come from.
  public var url: URL { file.url }

  /// The strings of the header's `__metadata__`.
  public let metadata: [String: String]

  /// How the matrices are stored where the file was quantized ahead of time.
  public let storageFormat: StorageFormat?

  private let file: MappedFile
  private let bufferStart: Int
  private let entries: [String: SafetensorsEntry]

  /// Maps the file at `url` and reads its header.
  ///
  /// - Throws: ``CheckpointError/Kind/unreadableFile`` or ``CheckpointError/Kind/malformedSafetensors``.
  public init(url: URL) throws(CheckpointError) {
    file = try MappedFile(url: url)
    let lengthSize = MemoryLayout<UInt64>.size
    guard file.count >= lengthSize else {
      throw CheckpointError(
        .malformedSafetensors, file: url, found: "\(file.count) bytes", expected: "a header's length, 8 bytes")
    }
    let length = file.withBytes(in: 0..<lengthSize) { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard length <= SafetensorsHeader.maximumLength else {
      throw CheckpointError(
        .malformedSafetensors, file: url, found: "a header of \(length) bytes",
        expected: "at most \(SafetensorsHeader.maximumLength)")
    }
    bufferStart = lengthSize + Int(length)
    guard bufferStart <= file.count else {
      throw CheckpointError(
        .malformedSafetensors, file: url, found: "a header of \(length) bytes",
        expected: "at most the \(file.count - lengthSize) that follow its length")
    }
    do {
      let header = try SafetensorsHeader(
        file.withBytes(in: lengthSize..<bufferStart) { Array($0) }, bufferSize: file.count - bufferStart)
      metadata = header.metadata
      storageFormat = try header.storageFormat()
      entries = try header.decodedEntries()
    } catch {
      throw CheckpointError(
        .malformedSafetensors, file: url, key: error.key, found: error.found, expected: error.expected)
    }
  }

  /// The tensors' names, sorted.
  public var names: [String] { entries.keys.sorted() }

  /// Whether there is a tensor called `name`.
  public func contains(_ name: String) -> Bool { entries[name] != nil }

  /// The type and shape of the tensor called `name`.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func entry(_ name: String) throws(CheckpointError) -> SafetensorsEntry {
    guard let entry = entries[name] else {
      throw CheckpointError(.missingTensor, file: url, key: name, found: "nothing", expected: "a tensor")
    }
    return entry
  }

  /// Calls `body` with the bytes of the tensor called `name`: row-major, little-endian, at any alignment. The pointer
  /// is valid during the call only.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func withUnsafeBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(CheckpointError) -> Result {
    file.withBytes(in: try range(of: name), body)
  }

  /// Frees the memory that reading the tensor called `name` has taken; it can be read again.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func discard(_ name: String) throws(CheckpointError) {
    file.discard(try range(of: name))
  }

  private func range(of name: String) throws(CheckpointError) -> Range<Int> {
    let range = try entry(name).range
    return (bufferStart + range.lowerBound)..<(bufferStart + range.upperBound)
  }

  /// Calls `body` with bytes after the header, which must lie in the file.
  func withBytes<Result>(in range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    file.withBytes(in: (bufferStart + range.lowerBound)..<(bufferStart + range.upperBound), body)
  }
}
