import ArgumentParser
import Fewstep
import Foundation

/// A command that measures: in a release build, and once it has said on what.
protocol MeasuringCommand: AsyncParsableCommand {
  func measure(on machine: Machine) async throws
}

extension MeasuringCommand {
  func run() async throws {
    try await inRelease {
      let machine = Machine.current
      print("fewstep \(fewstepVersion) on \(machine)\n")
      try await measure(on: machine)
    }
  }
}

/// Where a command writes its figures.
struct FigureOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  func write(_ figures: some Encodable) throws {
    guard let json else { return }
    try figures.writeJSON(to: URL(filePath: json))
    print("wrote \(json)")
  }
}

/// What the commands share that draw pictures with the bundled model.
struct PictureOptions: ParsableArguments {
  @Option(help: "Images per row; the Fréchet distance needs 64 or more.")
  var images = 64

  @OptionGroup var figures: FigureOptions

  func validate() throws { try expect("--images", images, in: 1...512) }
}

/// Refuses a number outside of `range`.
func expect(_ option: String, _ number: Int, in range: ClosedRange<Int>) throws {
  guard range.contains(number) else {
    throw ValidationError("\(option) \(number): expected \(range.lowerBound) to \(range.upperBound)")
  }
}

extension ValidationError {
  static func unknown(_ option: String, _ name: String, of names: [String]) -> ValidationError {
    ValidationError("\(option) \(name): there are \(names.joined(separator: ", "))")
  }
}
