import ArgumentParser

struct Pruning: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "What removed heads, removed blocks and merged tokens save and cost on the bundled model.",
    discussion: """
      Every pruned model is written to a folder and read back. Layers are scored on prompts of the evaluation beyond \
      the images of the table, where those are at most 448. Times are of one evaluation of the UNet, taken in turns with \
      the whole model.
      """)

  @OptionGroup var options: PictureOptions

  @Option(
    help: ArgumentHelp(
      "Measure only the row of this name, or those whose names begin with it: heads, blocks, merging ...; may be repeated.",
      valueName: "name"))
  var only: [String] = []

  struct Figures: Encodable {
    let machine: Machine
    let rows: [PruningTable.Result]
  }

  func validate() throws {
    for name in only where PruningTable.rows(named: name).isEmpty {
      throw ValidationError.unknown("--only", name, of: PruningTable.rows.map(\.name))
    }
  }

  func measure(on machine: Machine) async throws {
    let rows = only.isEmpty ? PruningTable.rows : only.flatMap(PruningTable.rows(named:))
    let results = try await PruningTable(bench: Workbench(), images: options.images).measure(rows)
    try options.figures.write(Figures(machine: machine, rows: results))
  }
}
