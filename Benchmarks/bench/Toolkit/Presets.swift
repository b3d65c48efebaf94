import ArgumentParser
import Fewstep
import Foundation

struct Presets: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What every preset costs and gives on the bundled model.",
    discussion: """
      Peak memory is what the system saw beyond the loaded weights, and the weights. PSNR and SSIM are to the converged \
      image of the same seed; PSNR to float32 is what the precision alone costs.
      """)

  @OptionGroup var options: ToolkitOptions

  func run() async throws { try await inRelease(measure) }

  private func measure() async throws {
    let machine = Machine.current
    print("fewstep \(fewstepVersion) on \(machine)\n")
    let bench = SettingBench(bench: try Workbench(), images: options.images)
    let results = try await PresetTable(bench: bench).measure()
    var page = ToolkitPage(machine: "\(machine)", presets: results)
    if options.html != nil { page.plotted = try await bench.measurePlotted() }
    try options.write(page)
  }
}

/// What `presets` and `toolkit` share.
struct ToolkitOptions: ParsableArguments {
  @Option(help: "Images per setting; the Fréchet distance needs 64 or more. DDPM takes an eighth of them.")
  var images = 64

  @Option(
    help: ArgumentHelp("Write the tables and the plots of quality against time to this page.", valueName: "file.html"))
  var html: String?

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  func validate() throws {
    guard (1...512).contains(images) else { throw ValidationError("--images \(images): expected 1 to 512") }
  }

  func write(_ page: ToolkitPage) throws {
    try json.map { try page.writeJSON(to: URL(filePath: $0)) }
    if let html {
      try Data(page.html.utf8).write(to: URL(filePath: html), options: .atomic)
      print("wrote \(html)")
    }
  }
}

struct PresetTable {
  let bench: SettingBench

  func measure() async throws -> [Measurement] {
    print("Presets, guidance \(decimal(SamplerTable.scale, 0)); accuracy and Fréchet distance by the bundled evaluator")
    let table = TablePrinter(columns: Self.columns)
    table.printHeading()
    // The slowest is what the others are compared with.
    let baseline = try await bench.measure(Setting.presets[Setting.presets.count - 1])
    var results: [Measurement] = []
    for setting in Setting.presets {
      results.append(try await bench.measure(setting))
      table.printRow(Self.cells(results[results.count - 1], over: baseline))
    }
    print("")
    return results
  }

  static let columns = [
    ("preset", 12), ("sampler", 12), ("precision", 9), ("ms/image", 8), ("images/s", 8), ("speed-up", 8),
    ("model MB", 8), ("peak MB", 7), ("PSNR", 5), ("SSIM", 5), ("to float32", 10), ("Fréchet", 7), ("all 3 %", 7),
    ("images", 6),
  ]

  static func cells(_ result: Measurement, over baseline: Measurement) -> [String] {
    [
      result.name, "\(result.solver) \(result.steps)", result.precision, decimal(result.millisecondsPerImage, 1),
      decimal(result.imagesPerSecond, 2),
      decimal(baseline.millisecondsPerImage / result.millisecondsPerImage, 1) + "x",
      decimal(Double(result.weightBytes) / 1e6, 1),
      decimal(Double(result.peakBytes ?? result.plannedPeakBytes) / 1e6, 1),
      decimal(result.psnr, 1), decimal(result.ssim, 3),
      result.precisionPSNR == .infinity ? "equal" : decimal(result.precisionPSNR, 1),
      decimal(result.scores.frechet, 1), percent(result.scores.allThree), "\(result.scores.images)",
    ]
  }
}

extension SettingBench {
  /// The settings that the plots show beside the presets.
  func measurePlotted() async throws -> [Measurement] {
    var results: [Measurement] = []
    for setting in Setting.plotted { results.append(try await measure(setting)) }
    return results
  }
}
