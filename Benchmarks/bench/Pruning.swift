import ArgumentParser
import Fewstep
import Foundation

struct Pruning: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What removed heads, removed blocks and merged tokens save and cost on the bundled model.",
    discussion: """
      Every pruned model is written to a folder and read back. Layers are scored on prompts of the evaluation beyond \
      the images of the table, where those are at most 448. Times are of one evaluation of the UNet, taken in turns with \
      the whole model.
      """)

  @Option(help: "Images per row; the Fréchet distance needs 64 or more.")
  var images = 64

  @Option(
    help: ArgumentHelp(
      "Measure only the row of this name, or those whose names begin with it: heads, blocks, merging ...; can be repeated.",
      valueName: "name"))
  var only: [String] = []

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  struct Figures: Encodable {
    let machine: Machine
    let rows: [PruningTable.Result]
  }

  func validate() throws {
    guard (1...512).contains(images) else { throw ValidationError("--images \(images): expected 1 to 512") }
    for name in only where PruningTable.rows(named: name).isEmpty {
      throw ValidationError("--only \(name): there are \(PruningTable.rows.map(\.name).joined(separator: ", "))")
    }
  }

  func run() async throws {
    try await inRelease {
      let machine = Machine.current
      print("fewstep \(fewstepVersion) on \(machine)\n")
      let rows = only.isEmpty ? PruningTable.rows : only.flatMap(PruningTable.rows(named:))
      let results = try await PruningTable(bench: Workbench(), images: images).measure(rows)
      try json.map { try Figures(machine: machine, rows: results).writeJSON(to: URL(filePath: $0)) }
    }
  }
}
