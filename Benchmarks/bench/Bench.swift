import ArgumentParser
import Fewstep
import Foundation
import GlyphEvaluation
import Glyphs

@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures what every sampler costs and what it gives.",
    discussion: "Every figure is measured in this run. A debug build rebuilds itself in release first.",
    subcommands: [
      Standard.self, Accuracy.self, Presets.self, Toolkit.self, Precisions.self, Pruning.self, Caching.self, Step.self,
      Kernels.self, Model.self, Forward.self,
    ],
    defaultSubcommand: Standard.self)
}

/// Runs `body` in a release build, and in a debug build makes one.
func inRelease(_ body: () async throws -> Void) async throws {
  #if DEBUG
    try Relaunch.inRelease(arguments: Array(CommandLine.arguments.dropFirst()))
  #else
    try await body()
  #endif
}

struct Standard: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "samplers", abstract: "Cost and quality of samplers and guidance on the bundled model (the default).",
    discussion: """
      Uses the prompts of Tools/train-glyphs/EVALUATION.md. Times are for pictures sampled \(Workbench.batchSize) at a \
      time, from prompt to pixels.
      """)

  @Option(help: "Images per row; the Fréchet distance needs 64 or more. DDPM takes an eighth of them.")
  var images = 64

  @Option(
    help: ArgumentHelp(
      "Measure only this: \(Section.allCases.map(\.rawValue).joined(separator: ", ")), or one sampler of the table.",
      valueName: "name"))
  var only: String?

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  enum Section: String, CaseIterable {
    case samplers, guidance, cost, generation
  }

  func validate() throws {
    guard (1...512).contains(images) else { throw ValidationError("--images \(images): expected 1 to 512") }
    if let only, Section(rawValue: only) == nil, !SamplerTable.rows.contains(where: { $0.name == only }) {
      let names = Section.allCases.map(\.rawValue) + SamplerTable.rows.map(\.name)
      throw ValidationError("--only \(only): there are \(names.joined(separator: ", "))")
    }
  }

  func run() async throws { try await inRelease(measure) }

  private func measure() async throws {
    func wants(_ section: Section) -> Bool { only == nil || only == section.rawValue }
    let bench = try Workbench()
    var report = Report(machine: .current)
    print("fewstep \(fewstepVersion) on \(report.machine)\n")
    if wants(.samplers) || only.map({ Section(rawValue: $0) == nil }) ?? false {
      let rows = SamplerTable.rows.filter { only == nil || wants(.samplers) || $0.name == only }
      report.samplers = try await SamplerTable(bench: bench, images: images).measure(rows)
    }
    if wants(.guidance) {
      let table = GuidanceTable(bench: bench, images: images)
      report.guidance = try await table.sweep()
      report.recommendedScale = table.recommend(report.guidance ?? [])
      report.negativePrompt = try await table.negativePrompt()
    }
    if wants(.cost) { report.cost = try await CostTable(bench: bench).measure() }
    if wants(.generation) { report.generation = try await GenerationTable(bench: bench).measure() }
    if let json { try report.writeJSON(to: URL(filePath: json)) }
  }
}
