import ArgumentParser
import Fewstep

struct Presets: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "What every preset costs and gives on the bundled model.",
    discussion: """
      Peak memory is what the system saw beyond the loaded weights, and the weights. PSNR and SSIM are to the converged \
      image of the same seed; PSNR to float32 is what the precision alone costs. DDPM takes an eighth of the images.
      """)

  @OptionGroup var options: ToolkitOptions

  func measure(on machine: Machine) async throws {
    let bench = SettingBench(bench: try Workbench(), images: options.pictures.images)
    var page = ToolkitPage(machine: machine, presets: try await PresetTable(bench: bench).measure())
    if options.html != nil { page.plotted = try await bench.measurePlotted() }
    try options.write(page)
  }
}

/// What `presets` and `toolkit` share.
struct ToolkitOptions: ParsableArguments {
  @OptionGroup var pictures: PictureOptions

  @Option(
    help: ArgumentHelp("Write the tables and the plots of quality against time to this page.", valueName: "file.html"))
  var html: String?

  func write(_ page: ToolkitPage) throws {
    try pictures.figures.write(page)
    try html.map { try page.page.write(to: $0) }
  }
}

struct PresetTable {
  let bench: SettingBench

  func measure() async throws -> [Measurement] {
    // The slowest is what the others are compared with.
    let baseline = try await bench.measure(Setting.presets[Setting.presets.count - 1])
    let results = try await Self.table(over: baseline).rows(
      "Presets, guidance \(decimal(SamplerTable.scale, 0)); accuracy and Fréchet distance by the bundled evaluator",
      Setting.presets
    ) { setting, _ in
      try await bench.measure(setting)
    }
    print("")
    return results
  }

  static func table(over baseline: Measurement) -> Table<Measurement> {
    Table(
      [
        .init("preset", 12) { $0.name }, .init("sampler", 12) { "\($0.solver) \($0.steps)" },
        .init("precision", 9) { $0.precision }, .init("ms/image", 8) { decimal($0.millisecondsPerImage, 1) },
        .init("images/s", 8) { decimal($0.imagesPerSecond, 2) },
        .init("speed-up", 8) { times(baseline.millisecondsPerImage / $0.millisecondsPerImage, 1) },
        .init("model MB", 8) { megabytes($0.weightBytes) },
        .init("peak MB", 7) { megabytes($0.peakBytes ?? $0.plannedPeakBytes) },
        .init("PSNR", 5) { decimal($0.quality?.psnr, 1) }, .init("SSIM", 5) { decimal($0.quality?.ssim, 3) },
        .init("to float32", 10) { $0.precisionPSNR == .infinity ? "equal" : decimal($0.precisionPSNR, 1) },
      ] + Table.scores(\.scores) + [.init("images", 6) { "\($0.scores.images)" }])
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
