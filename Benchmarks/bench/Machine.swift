import Fewstep
import Foundation

extension Encodable {
  func writeJSON(to url: URL) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    try encoder.encode(self).write(to: url, options: .atomic)
  }
}

/// What the figures were measured on.
struct Machine: Encodable, CustomStringConvertible {
  let processor: String
  let threads: Int
  let instructionSet: String

  static var current: Machine {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let name = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last
    return Machine(
      processor: name?.trimmingCharacters(in: .whitespaces) ?? "unknown processor", threads: ThreadPool.threadCount,
      instructionSet: ThreadPool.instructionSet)
  }

  var description: String { "\(processor), \(threads) threads, \(instructionSet)" }
}
