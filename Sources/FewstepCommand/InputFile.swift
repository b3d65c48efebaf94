import ArgumentParser
import Foundation

/// A file that an option names.
struct InputFile {
  private let option: String
  private let path: String

  init(_ option: String, _ path: String) {
    self.option = option
    self.path = path
  }

  /// - Throws: `ValidationError`, which names the option.
  func data() throws -> Data {
    do {
      return try Data(contentsOf: URL(filePath: path))
    } catch {
      throw ValidationError("\(option) \(path): \(error.localizedDescription)")
    }
  }

  /// The lines of a text, without spaces around them; empty ones are none.
  func lines() throws -> [String] {
    guard let text = String(data: try data(), encoding: .utf8) else {
      throw ValidationError("\(option) \(path): expected UTF-8")
    }
    return text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty }
  }
}
