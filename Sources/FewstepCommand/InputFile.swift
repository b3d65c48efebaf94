import Fewstep
import Foundation

/// Files that are named on the command line.
enum InputFile {
  struct Failure: Error, CustomStringConvertible {
    let path: String
    let reason: String

    var description: String { "\(path): \(reason)" }
  }

  static func data(_ path: String) throws(Failure) -> Data {
    // What Foundation says of a file that is not there is for programmers.
    guard let file = fopen(path, "rb") else { throw Failure(path: path, reason: String(cString: strerror(errno))) }
    fclose(file)
    guard let data = try? Data(contentsOf: URL(filePath: path)) else {
      throw Failure(path: path, reason: "cannot be read")
    }
    return data
  }

  static func image(_ path: String) throws(Failure) -> Image {
    let data = try data(path)
    do {
      return try Image(png: data)
    } catch {
      throw Failure(path: path, reason: "\(error)")
    }
  }

  /// Lines that are not empty, one or more.
  static func prompts(_ path: String) throws(Failure) -> [String] {
    guard let text = String(data: try data(path), encoding: .utf8) else {
      throw Failure(path: path, reason: "is no text in UTF-8")
    }
    let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty }
    guard !lines.isEmpty else { throw Failure(path: path, reason: "there is no prompt in it") }
    return lines
  }
}
