import ArgumentParser
import Fewstep
import Foundation

struct Toolkit: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Every technique beside what is commonly claimed for it, measured on the bundled model.",
    discussion: """
      Where this machine does not deliver a claim, the line below says why. Ratios are medians of runs in turns. Decibels \
      are the PSNR to the converged image of the same seed; of precisions, to the same sampler in float32.
      """)

  @OptionGroup var options: ToolkitOptions

  @Option(help: ArgumentHelp("Only the techniques that begin so, such as INT8.", valueName: "name"))
  var only: String?

  private var techniques: [Technique] {
    Technique.all.filter { $0.name.lowercased().hasPrefix(only?.lowercased() ?? "") }
  }

  func validate() throws {
    guard !techniques.isEmpty else {
      throw ValidationError.unknown("--only", only ?? "", of: Technique.all.map(\.name))
    }
  }

  func measure(on machine: Machine) async throws {
    let bench = SettingBench(bench: try Workbench(), images: options.pictures.images)
    var page = ToolkitPage(machine: machine)
    print("\(Self.columns("technique", "claimed"))measured\n\(String(repeating: "-", count: 118))")
    for technique in techniques {
      let finding = try await technique.measure(bench)
      page.toolkit.append(.init(technique: technique.name, claimed: technique.claimed, finding: finding))
      print(Self.columns(technique.name, technique.claimed) + finding.measured)
      if !finding.why.isEmpty { print("    because: \(finding.why)") }
      fflush(nil)
    }
    print("")
    if options.html != nil {
      page.presets = try await PresetTable(bench: bench).measure()
      page.plotted = try await bench.measurePlotted()
    }
    try options.write(page)
  }

  private static func columns(_ technique: String, _ claimed: String) -> String {
    technique.padding(toLength: 27, withPad: " ", startingAt: 0)
      + claimed.padding(toLength: 36, withPad: " ", startingAt: 0)
  }
}
