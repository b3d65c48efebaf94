import ArgumentParser
import Fewstep

struct Samplers: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Cost and quality of samplers and guidance on the bundled model.",
    discussion: """
      Uses the prompts of Tools/train-glyphs/EVALUATION.md. Times are for pictures sampled \(Workbench.batchSize) at a \
      time, from prompt to pixels. DDPM takes an eighth of the images.
      """)

  @OptionGroup var options: PictureOptions

  @Option(
    help: ArgumentHelp(
      "Measure only this: \(Section.allCases.map(\.rawValue).joined(separator: ", ")), or one sampler of the table.",
      valueName: "name"))
  var only: String?

  enum Section: String, CaseIterable {
    case samplers, guidance, cost, generation
  }

  /// Shares are 0 to 1.
  struct Figures: Encodable {
    let machine: Machine
    var samplers: [SamplerTable.Result]?
    var guidance: [GuidanceTable.Result]?
    var recommendedScale: Double?
    var negativePrompt: [GuidanceTable.NegativeResult]?
    var cost: [CostTable.Result]?
    var generation: [GenerationTable.Result]?
  }

  func validate() throws {
    if let only, Section(rawValue: only) == nil, !SamplerTable.rows.contains(where: { $0.name == only }) {
      throw ValidationError.unknown(
        "--only", only, of: Section.allCases.map(\.rawValue) + SamplerTable.rows.map(\.name))
    }
  }

  func measure(on machine: Machine) async throws {
    func wants(_ section: Section) -> Bool { only == nil || only == section.rawValue }
    let bench = try Workbench()
    var figures = Figures(machine: machine)
    let rows = wants(.samplers) ? SamplerTable.rows : SamplerTable.rows.filter { $0.name == only }
    if !rows.isEmpty {
      figures.samplers = try await SamplerTable(bench: bench, images: options.images).measure(rows)
    }
    if wants(.guidance) {
      let table = GuidanceTable(bench: bench, images: options.images)
      figures.guidance = try await table.sweep()
      figures.recommendedScale = table.recommend(figures.guidance ?? [])
      figures.negativePrompt = try await table.negativePrompt()
    }
    if wants(.cost) { figures.cost = try await CostTable(bench: bench).measure() }
    if wants(.generation) { figures.generation = try await GenerationTable(bench: bench).measure() }
    try options.figures.write(figures)
  }
}
