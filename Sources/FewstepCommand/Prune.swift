import ArgumentParser
import Fewstep
import Foundation

struct Prune: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove attention heads and blocks that matter least from a model's UNet.",
    discussion: """
      Heads and blocks are scored by how much the prediction changes without them, on trajectories of the calibration \
      prompts. Fewstep reads the folder like any other; its matrices are smaller, and diffusers cannot read it. The \
      bundled model brings prompts of its own.
      """)

  @OptionGroup var folders: ConversionArguments

  @Option(parsing: .unconditional, help: ArgumentHelp("Share of the heads to remove, such as 25%.", valueName: "share"))
  var heads = Share(0)

  @Option(parsing: .unconditional, help: "Number of transformers and residual blocks to remove.")
  var blocks = 0

  @Option(
    help: ArgumentHelp("What makes up for removed heads.", valueName: "name"))
  var compensation = HeadCompensation.leastSquares

  @Option(help: ArgumentHelp("Calibration prompts, one a line.", valueName: "file"))
  var prompts: String?

  @Option(parsing: .unconditional, help: "Predictions that the layers are scored on.")
  var samples = 64

  @Flag(help: "Print JSON about what was removed.")
  var json = false

  private struct Report: Encodable {
    struct Part: Encodable {
      let name: String
      let head: Int?
      let change: Double
    }

    let removed: [Part]
    /// Bytes of the UNet's weights in memory.
    let weightBytes: Int
    let weightBytesBefore: Int
  }

  func validate() throws {
    guard (0..<1).contains(heads.value) else {
      throw ValidationError("--heads \(heads): expected 0% or more and less than 100%")
    }
    guard blocks >= 0 else { throw ValidationError("--blocks \(blocks): expected 0 or more") }
    guard heads.value > 0 || blocks > 0 else { throw ValidationError("nothing to remove: give --heads or --blocks") }
    guard (1...4096).contains(samples) else { throw ValidationError("--samples \(samples): expected 1 to 4096") }
    guard prompts != nil || folders.isBundled else {
      throw ValidationError("--prompts is needed: only the bundled model brings prompts of its own")
    }
  }

  func run() async throws {
    let target = try PartialFolder(for: folders.target)
    let folder = try folders.folder()
    let prompts = try prompts.map(InputFile.prompts) ?? Self.glyphPrompts
    let pipeline = try TextToImagePipeline(folder)
    let denoiser = try pipeline.denoiser
    let calibration = try await pipeline.calibrationSamples(prompts: prompts, limit: samples)
    let study = try PruningStudy(denoiser, samples: calibration)
    let choice = try study.choose(headShare: heads.value, blocks: blocks, compensation: compensation)
    try folder.writePruned(choice, in: target)
    // Reading it back is the proof that it can be.
    let pruned = try UNet2DConditionModel(ModelFolder(url: target.url))
    try target.commit()
    let parts =
      choice.blocks.map { Report.Part(name: $0.block, head: nil, change: $0.change) }
      + choice.heads.map { Report.Part(name: $0.attention, head: $0.head, change: $0.change) }
    if json {
      try printJSON(
        Report(
          removed: parts, weightBytes: pruned.weightBytes, weightBytesBefore: denoiser.weightBytes))
    } else {
      let rows = parts.map { [$0.name, $0.head.map { "head \($0)" } ?? "block", String(format: "%.4f", $0.change)] }
      print(table([["removed", "", "change"]] + rows))
      print("UNet: \(ByteCount(denoiser.weightBytes)) before, \(ByteCount(pruned.weightBytes)) in \(folders.output)")
    }
  }

  /// Every character once or more, in all colours.
  private static let glyphPrompts: [String] = {
    let colours = ["black", "white", "red", "green", "blue", "yellow", "orange", "purple"]
    return Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789").enumerated().map { index, character in
      let background = colours[(index + 1 + index / 8) % 8 == index % 8 ? (index + 2) % 8 : (index + 1 + index / 8) % 8]
      let words = [index % 3 == 0 ? "bold " : "", index % 4 == 0 ? "italic " : "", "\(colours[index % 8]) "].joined()
      return "a \(words)\(index < 26 ? "letter" : "digit") \(character) on a \(background) background, "
        + (index % 2 == 0 ? "serif" : "sans")
    }
  }()
}

extension HeadCompensation: ExpressibleByArgument {}

/// A share such as 25% or 0.25.
struct Share: ExpressibleByArgument, CustomStringConvertible {
  let value: Double

  init(_ value: Double) {
    self.value = value
  }

  init?(argument: String) {
    let isPercentage = argument.hasSuffix("%")
    guard let number = Double(isPercentage ? argument.dropLast() : argument[...]) else { return nil }
    value = isPercentage ? number / 100 : number
  }

  var description: String { String(format: "%g%%", 100 * value) }
}
