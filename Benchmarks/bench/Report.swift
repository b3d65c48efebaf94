import Fewstep
import Foundation
import GlyphEvaluation

/// All figures of a run, as --json writes them. Times are in milliseconds, shares from 0 to 1.
struct Report: Encodable {
  let machine: Machine
  var samplers: [SamplerTable.Result]?
  var guidance: [GuidanceTable.Result]?
  var recommendedScale: Double?
  var negativePrompt: [GuidanceTable.NegativeResult]?
  var cost: [CostTable.Result]?
  var generation: [GenerationTable.Result]?
}

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

/// A table that is printed row by row, since the next row may take a minute.
struct TablePrinter {
  let columns: [(title: String, width: Int)]

  /// Prints the heading: the first column to the left, the others to the right of their places.
  func printHeading() {
    printRow(columns.map(\.title))
    print(String(repeating: "-", count: columns.reduce(-2) { $0 + $1.width + 2 }))
  }

  func printRow(_ cells: [String]) {
    let padded = zip(cells, columns).enumerated().map { index, pair in
      let space = String(repeating: " ", count: max(0, pair.1.width - pair.0.count))
      return index == 0 ? pair.0 + space : space + pair.0
    }
    print(padded.joined(separator: "  "))
    fflush(nil)
  }
}

func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }
func decimal(_ number: Double?, _ digits: Int) -> String { number.map { String(format: "%.\(digits)f", $0) } ?? "-" }
