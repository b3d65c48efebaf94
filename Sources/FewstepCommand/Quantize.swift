import ArgumentParser
import Fewstep
import Foundation

struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Store a model in fewer bits, and say what that does to it.",
    discussion: """
      The folder loads like any other. A layer whose outputs lose too much is stored as bf16; a format whose images \
      are too far from those of fp32 is refused.
      """)

  @OptionGroup var folders: ConversionArguments

  @Option(help: ArgumentHelp("What to store the weights in.", valueName: "format"))
  var precision: StorageFormat

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Signal-to-noise ratio of a layer's outputs below which it stays in bf16. Default: 25, for q4_0 12.",
      valueName: "dB"))
  var threshold: Double?

  @Option(
    name: .customLong("minimum-psnr"), parsing: .unconditional,
    help: ArgumentHelp("PSNR to fp32 that images with equal seeds must have.", valueName: "dB"))
  var minimumPSNR = 20.0

  @Option(help: ArgumentHelp("What to calibrate and compare with; may be repeated.", valueName: "prompt"))
  var prompt: [String] = []

  @Option(parsing: .unconditional, help: "Steps from noise to image to calibrate and compare with.")
  var steps = 10

  @Flag(help: "Print the report as JSON.")
  var json = false

  func validate() throws {
    guard (1...1000).contains(steps) else { throw ValidationError("--steps \(steps): expected 1 to 1000") }
  }

  func run() async throws {
    var quantizer = ModelQuantizer(precision, threshold: threshold)
    quantizer.gate.requiredPSNR = minimumPSNR
    quantizer.gate.template.steps = steps
    if !prompt.isEmpty { quantizer.gate.prompts = prompt }
    let report = try await quantizer.quantize(folders.folder(), to: folders.target)
    guard !json else { return try printJSON(report) }
    print(
      table(
        [["layer", "weights", "stored", "SNR of weights", "SNR of outputs"]]
          + report.layers.map { layer in
            [
              layer.name, "\(layer.parameters)", layer.format, Self.decibels(layer.weightRatio),
              layer.refusedRatio.map { "\(Self.decibels($0)) in \(report.format): kept" }
                ?? layer.outputRatio.map(Self.decibels) ?? "-",
            ]
          }))
    let parameters = report.layers.reduce(0) { $0 + $1.parameters }
    print(
      """

      Denoiser: \(Self.megabytes(report.originalDenoiserBytes)) became \(Self.megabytes(report.denoiserBytes)), and \
      would be \(Self.megabytes(4 * parameters)) in fp32; all weights: \(Self.megabytes(report.originalBytes)) became \
      \(Self.megabytes(report.bytes)); \(report.keptLayers.count) layers below \(Self.decibels(report.threshold)) \
      stay in bf16.
      \(report.images) images with equal seeds: PSNR \(Self.decibels(report.psnr)) to fp32, worst \
      \(Self.decibels(report.worstPSNR)), SSIM \(String(format: "%.4f", report.ssim)).
      \(folders.output)
      """)
  }

  private static func megabytes(_ bytes: Int) -> String { String(format: "%.1f MB", Double(bytes) / 1e6) }

  private static func decibels(_ ratio: Double) -> String {
    ratio.isFinite ? String(format: "%.1f dB", ratio) : "exact"
  }
}

extension StorageFormat: ExpressibleByArgument {}
