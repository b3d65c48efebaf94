import ArgumentParser
import Fewstep
import Foundation
import Glyphs

/// The choice of a model, bundled or not.
struct ModelOption: ParsableArguments {
  @Option(
    name: [.customLong("model")],
    help: ArgumentHelp("Folder of a model in diffusers' layout. Default: the bundled one.", valueName: "dir"))
  var path: String?

  /// The folder asked for, or the bundled model: its flow variant for flow solvers.
  func folder(for family: SolverEntry.Family?) throws -> ModelFolder {
    if let path { return try ModelFolder(url: URL(filePath: path, directoryHint: .isDirectory)) }
    return family == .flow ? try Glyphs.flow() : try Glyphs.epsilon()
  }

  var name: String { path.map { URL(filePath: $0).lastPathComponent } ?? "glyphs" }
}

/// The choice of a sampler, which `generate` and `plan` share.
struct SamplerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Solver, such as dpm++2m; see `fewstep solvers`. Default: the model's.", valueName: "name"))
  var solver: String?

  @Option(parsing: .unconditional, help: "Number of steps. Default: 20, or a preset's.")
  var steps: Int?

  @Option(
    help: ArgumentHelp(
      "Grid of times, such as karras; see `fewstep grids`. Default: the model's.", valueName: "name"))
  var grid: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Shift of a flow model's grid towards the noise. Default: the model's.", valueName: "number"))
  var shift: Double?

  func validate() throws {
    guard let solver, (try? family()) == nil else { return }
    let names = SolverCatalogue.all.flatMap { [$0.name] + $0.aliases } + AdaptiveCatalogue.all.map(\.name)
    let near = Spelling.near(solver, among: names)
    let hint = near.isEmpty ? "see" : "did you mean \(near.joined(separator: ", "))? See"
    throw ValidationError("no solver is named \"\(solver)\"; \(hint) `fewstep solvers`")
  }

  /// nil is the model's own.
  func entry() throws -> SolverEntry? { try solver.map { try SolverCatalogue.entry(named: $0) } }

  /// The family of the solver asked for, adaptive ones too.
  func family() throws -> SolverEntry.Family? { try solver.map { try NamedSolver(named: $0).family } }

  func spacing() throws -> GridSpacing? { try grid.map { try GridSpacing(named: $0) } }
}

/// What adaptive solvers go by.
struct AdaptiveOptions: ParsableArguments {
  @Option(
    name: .customLong("rtol"), parsing: .unconditional,
    help: ArgumentHelp("Relative error that an adaptive solver keeps to, in the place of steps.", valueName: "number"))
  var tolerance = 1e-2

  @Option(
    name: .customLong("max-evaluations"), parsing: .unconditional,
    help: ArgumentHelp("The most evaluations of an image and branch for an adaptive solver.", valueName: "number"))
  var maximumEvaluations = 200
}

/// The model that a command reads and the folder that it writes.
struct ConversionArguments: ParsableArguments {
  @Argument(help: "Folder of a model in diffusers' layout, or glyphs for the bundled one.")
  var input: String

  @Argument(help: "New folder to write.")
  var output: String

  var isBundled: Bool { input == "glyphs" && !FileManager.default.fileExists(atPath: input) }

  func folder() throws -> ModelFolder {
    isBundled ? try Glyphs.epsilon() : try ModelFolder(url: URL(filePath: input, directoryHint: .isDirectory))
  }

  var target: URL { URL(filePath: output, directoryHint: .isDirectory) }
}

/// Prints a value as JSON, keys sorted.
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
