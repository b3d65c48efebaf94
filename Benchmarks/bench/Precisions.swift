import ArgumentParser
import Fewstep
import Foundation

struct Precisions: MeasuringCommand {
  static let configuration = CommandConfiguration(
    commandName: "precision", abstract: "Cost and same-seed quality of every precision on the bundled model.",
    discussion: """
      The first row is the reference. Folders that `fewstep quantize` made of the bundled model can be measured along.
      """)

  @OptionGroup var options: PictureOptions

  @Option(parsing: .upToNextOption, help: ArgumentHelp("Only these, and float32.", valueName: "format"))
  var only: [Precision] = []

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp("A quantized folder of the bundled model; may be repeated.", valueName: "dir"))
  var folders: [String] = []

  private struct Figures: Encodable {
    let machine: Machine
    let precisions: [PrecisionTable.Result]
  }

  func measure(on machine: Machine) async throws {
    let settings =
      Precision.allCases.filter { only.isEmpty || $0 == .float32 || only.contains($0) }
      .map { PrecisionTable.Setting(name: $0.rawValue, precision: $0) }
      + folders.map { path in
        let url = URL(filePath: path, directoryHint: .isDirectory)
        return PrecisionTable.Setting(name: url.lastPathComponent, precision: nil, folder: url)
      }
    let results = try await PrecisionTable(bench: Workbench(), images: options.images).measure(settings)
    try options.figures.write(Figures(machine: machine, precisions: results))
  }
}
