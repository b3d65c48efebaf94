import Fewstep
import Foundation
import GlyphEvaluation

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

/// What a table says of each of its rows.
struct Table<Row> {
  struct Column {
    let title: String
    let width: Int
    let cell: (Row) -> String

    init(_ title: String, _ width: Int, _ cell: @escaping (Row) -> String) {
      self.title = title
      self.width = width
      self.cell = cell
    }
  }

  let columns: [Column]

  init(_ columns: [Column]) {
    self.columns = columns
  }

  var titles: [String] { columns.map(\.title) }

  func cells(_ row: Row) -> [String] { columns.map { $0.cell(row) } }

  private var printer: TablePrinter { TablePrinter(columns: columns.map { ($0.title, $0.width) }) }

  func printHeading(_ title: String? = nil) {
    if let title { print(title) }
    printer.printHeading()
  }

  func printRow(_ row: Row) { printer.printRow(cells(row)) }

  /// Prints the heading, and the row of each input once it is measured.
  ///
  /// - Parameter measure: is given the rows before it, too.
  func rows<Input>(
    _ title: String, _ inputs: [Input], _ measure: (Input, _ earlier: [Row]) async throws -> Row
  ) async rethrows -> [Row] {
    printHeading(title)
    var rows: [Row] = []
    for input in inputs {
      rows.append(try await measure(input, rows))
      printRow(rows[rows.count - 1])
    }
    return rows
  }
}

extension Table {
  /// How like real pictures a row's are, and how often they show what was asked for.
  static func scores(_ scores: @escaping (Row) -> GlyphScores) -> [Column] {
    [
      Column("Fréchet", 7) { decimal(scores($0).frechet, 1) }, Column("char %", 6) { percent(scores($0).character) },
      Column("all 3 %", 7) { percent(scores($0).allThree) },
    ]
  }

  /// How near a row's pictures are to those it is compared with.
  static func comparison(_ comparison: @escaping (Row) -> ImageComparison?) -> [Column] {
    [
      Column("PSNR", 5) { decimal(comparison($0)?.psnr, 1) },
      Column("worst", 5) { decimal(comparison($0)?.worstPSNR, 1) },
      Column("SSIM", 6) { decimal(comparison($0)?.ssim, 4) },
      Column("equal", 5) { comparison($0).map { "\($0.identical)" } ?? "-" },
    ]
  }
}

/// What the columns of a table mean, each on a line of its own.
func printLegend(_ meanings: [(column: String, meaning: String)]) {
  print("")
  for (column, meaning) in meanings { print("\(column): \(meaning)") }
  print("")
}

/// What the columns of ``Table/comparison(_:)`` mean, and those of ``Table/scores(_:)`` that do not say.
let comparisonLegend = [
  ("PSNR", "of the mean squared difference over all pictures, in decibels"),
  ("worst, equal", "PSNR of the picture that differs most, and pictures without a difference"),
]
let scoresLegend = [("all 3", "character and both colours")]

func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }
func decimal(_ number: Double?, _ digits: Int) -> String { number.map { String(format: "%.\(digits)f", $0) } ?? "-" }
func times(_ ratio: Double?, _ digits: Int) -> String { ratio.map { decimal($0, digits) + "x" } ?? "-" }
func megabytes(_ bytes: Int, _ digits: Int = 1) -> String { decimal(Double(bytes) / 1e6, digits) }
