import ArgumentParser
import Fewstep
import Foundation

struct Precisions: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "precision", abstract: "Cost and same-seed quality of every precision on the bundled model.",
    discussion: """
      The first row is the reference. Folders that `fewstep quantize` made of the bundled model can be measured along.
      """)

  @Option(help: "Images per row; the Fréchet distance needs 64 or more.")
  var images = 256

  @Option(parsing: .upToNextOption, help: ArgumentHelp("Only these, and float32.", valueName: "format"))
  var only: [Precision] = []

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp("A quantized folder of the bundled model; may come again.", valueName: "dir"))
  var folders: [String] = []

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  private struct Figures: Encodable {
    let machine: Machine
    let precisions: [PrecisionTable.Result]
  }

  func validate() throws {
    guard (1...512).contains(images) else { throw ValidationError("--images \(images): expected 1 to 512") }
  }

  func run() async throws { try await inRelease(measure) }

  private func measure() async throws {
    let machine = Machine.current
    print("fewstep \(fewstepVersion) on \(machine)\n")
    let settings =
      Precision.allCases.filter { only.isEmpty || $0 == .float32 || only.contains($0) }
      .map { PrecisionTable.Setting(name: $0.rawValue, precision: $0) }
      + folders.map { path in
        let url = URL(filePath: path, directoryHint: .isDirectory)
        return PrecisionTable.Setting(name: url.lastPathComponent, precision: nil, folder: url)
      }
    let results = try await PrecisionTable(bench: Workbench(), images: images).measure(settings)
    try json.map { try Figures(machine: machine, precisions: results).writeJSON(to: URL(filePath: $0)) }
  }
}
