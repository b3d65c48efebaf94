import Checkpoints
import Foundation
import Testing

/// Where the checked-in test data is.
enum Fixture {
  private static let package = URL(filePath: #filePath, directoryHint: .notDirectory)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func tokenizer(_ path: String) -> URL { package.appending(path: "Tests/Fixtures/tokenizer/\(path)") }

  static let glyphs = package.appending(path: "Sources/Glyphs/Resources/glyphs")
  static let glyphsFlow = package.appending(path: "Sources/Glyphs/Resources/glyphs-flow")
}

/// A folder that is removed with its last reference.
final class TemporaryFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString, directoryHint: .isDirectory)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// Writes a file, and the folders above it.
  @discardableResult
  func write(_ bytes: some Sequence<UInt8>, to path: String) throws -> URL {
    let file = url.appending(path: path, directoryHint: .notDirectory)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
    return file
  }

  @discardableResult
  func write(_ text: String, to path: String) throws -> URL { try write(text.utf8, to: path) }

  var contents: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
  }
}

/// A safetensors file of `header`, its true or another length before it, and `count` zero bytes after it.
func safetensors(_ header: some Sequence<UInt8>, length: UInt64? = nil, count: Int = 0) -> [UInt8] {
  let header = Array(header)
  let prefix = withUnsafeBytes(of: (length ?? UInt64(header.count)).littleEndian) { Array($0) }
  return prefix + header + Array(repeating: 0, count: count)
}

/// SplitMix64 (Steele et al. 2014), so that tests repeat.
struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
