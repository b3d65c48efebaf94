import Fewstep
import GlyphEvaluation

/// Work and precision on the bundled model: the distance of latents to a 500-step solution from the same noise.
struct ModelStudy {
  static let name = "bundled model"
  static let imageCount = 4
  /// More evaluations than this the model takes a second each for, and rounding in single precision is near.
  static let mostEvaluations = 40

  let bench: Workbench

  private var prompts: [String] { bench.prompts.prefix(Self.imageCount).map(\.text) }

  func converged(_ family: SolverEntry.Family) async throws -> [DenseTensor<Float>] {
    let solver = try SolverCatalogue.entry(named: family == .flow ? "flow-midpoint" : "dpm++2m")
    let spacing: GridSpacing = family == .flow ? .trailing : .karras
    let plan = try bench.pipeline(for: family).scheduler.plan(solver, steps: 500, spacing: spacing)
    return try await latents(plan, family, label: "converged \(family.rawValue) trajectories")
  }

  /// A solver on a grid; nil where the two do not fit.
  func measure(
    _ entry: SolverEntry, on spacing: GridSpacing, against converged: [DenseTensor<Float>]
  ) async throws -> WorkPrecision? {
    let scheduler = bench.pipeline(for: entry.family).scheduler
    return try await WorkPrecision.measured(
      Self.name, entry, on: spacing, upTo: Self.mostEvaluations, against: converged
    ) { steps in
      try scheduler.plan(entry, steps: steps, spacing: spacing)
    } images: { plan in
      try await latents(plan, entry.family, label: "\(entry.name), \(spacing.rawValue), \(plan.stepCount) steps")
    }
  }

  private func latents(
    _ plan: SamplingPlan, _ family: SolverEntry.Family, label: String
  ) async throws -> [DenseTensor<Float>] {
    try await bench.sample(
      prompts, scale: SamplerTable.scale, plan: plan, with: bench.pipeline(for: family), decoding: false,
      label: label
    ).latents
  }
}
