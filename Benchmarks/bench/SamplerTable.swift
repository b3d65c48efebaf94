import Fewstep
import Foundation
import GlyphEvaluation

/// What every sampler costs and gives, at the guidance scale that suits the model best.
struct SamplerTable {
  static let scale = 4.0

  /// A sampler of the table.
  struct Row: Sendable {
    let name: String
    let label: String
    let solver: String
    let steps: Int
    /// nil is the spacing of the model's scheduler.
    var spacing: GridSpacing?
    /// How much fewer images it is measured on.
    var thinning = 1
  }

  static let rows = [
    Row(name: "ddpm-1000", label: "DDPM 1000", solver: "ddpm", steps: 1000, thinning: 8),
    Row(name: "ddim-50", label: "DDIM 50", solver: "ddim", steps: 50),
    Row(name: "ddim-20", label: "DDIM 20", solver: "ddim", steps: 20),
    Row(name: "dpm-solver-3-20", label: "DPM-Solver-3 20", solver: "dpm-solver-3s", steps: 20),
    Row(
      name: "dpm-solver-3-20-karras", label: "DPM-Solver-3 20 Karras", solver: "dpm-solver-3s", steps: 20,
      spacing: .karras),
    Row(name: "dpm++2m-20", label: "DPM-Solver++ 2M 20", solver: "dpm++2m", steps: 20),
    Row(name: "dpm++2m-10", label: "DPM-Solver++ 2M 10", solver: "dpm++2m", steps: 10),
    Row(
      name: "dpm++2m-10-karras", label: "DPM-Solver++ 2M 10 Karras", solver: "dpm++2m", steps: 10, spacing: .karras),
    // Sigmas 1, (n-1)/n, ... 1/n, 0, as in EVALUATION.md; Heun has the scheduler's own grid there.
    Row(name: "flow-euler-20", label: "flow Euler 20", solver: "flow-euler", steps: 20, spacing: .trailing),
    Row(name: "flow-euler-10", label: "flow Euler 10", solver: "flow-euler", steps: 10, spacing: .trailing),
    Row(name: "flow-euler-4", label: "flow Euler 4", solver: "flow-euler", steps: 4, spacing: .trailing),
    Row(name: "flow-heun-10", label: "flow Heun 10", solver: "flow-heun", steps: 10),
  ]

  struct Result: Encodable {
    let name: String
    let label: String
    let evaluations: Int
    let millisecondsPerImage: Double
    let imagesPerSecond: Double
    let speedupOverDDPM: Double?
    /// Of the latents to the converged ones, over `trajectoryImages` images; nil for stochastic samplers.
    let trajectoryError: Double?
    let trajectoryImages: Int
    let scores: GlyphScores
  }

  private static var table: Table<Result> {
    Table(
      [
        .init("sampler", 25) { $0.label }, .init("NFE", 5) { "\($0.evaluations)" },
        .init("ms/image", 9) { decimal($0.millisecondsPerImage, 1) },
        .init("images/s", 9) { decimal($0.imagesPerSecond, 2) }, .init("speed-up", 9) { times($0.speedupOverDDPM, 1) },
      ] + Table.scores(\.scores) + [
        .init("RMSE", 7) { decimal($0.trajectoryError, 3) }, .init("images", 6) { "\($0.scores.images)" },
      ])
  }

  let bench: Workbench
  let images: Int

  /// Images whose converged trajectory is computed.
  private var trajectoryImages: Int { min(Workbench.batchSize, images) }

  /// Measures rows and prints them as they are done.
  func measure(_ rows: [Row]) async throws -> [Result] {
    var converged: [SolverEntry.Family: [DenseTensor<Float>]] = [:]
    let results = try await Self.table.rows(
      "Samplers, guidance \(decimal(Self.scale, 0)); accuracy and Fréchet distance by the bundled evaluator", rows
    ) { row, earlier in
      let solver = try SolverCatalogue.entry(named: row.solver)
      let pipeline = bench.pipeline(for: solver.family)
      let plan = try pipeline.scheduler.plan(solver, steps: row.steps, spacing: row.spacing)
      if !plan.isStochastic, converged[solver.family] == nil {
        converged[solver.family] = try await convergedLatents(for: solver.family)
      }
      let prompts = Array(bench.prompts.prefix(max(1, images / row.thinning)))
      let batch = try await bench.sample(
        prompts.map(\.text), scale: Self.scale, plan: plan, with: pipeline, label: row.label)
      let milliseconds = 1000 * batch.seconds / Double(prompts.count)
      return Result(
        name: row.name, label: row.label, evaluations: plan.evaluationCount, millisecondsPerImage: milliseconds,
        imagesPerSecond: 1000 / milliseconds,
        speedupOverDDPM: earlier.first { $0.name == "ddpm-1000" }.map { $0.millisecondsPerImage / milliseconds }
          ?? (row.name == "ddpm-1000" ? 1 : nil),
        trajectoryError: plan.isStochastic
          ? nil : converged[solver.family].map { rootMeanSquare(of: batch.latents, minus: $0) },
        trajectoryImages: trajectoryImages, scores: try bench.scores(of: batch.pixels, prompts: prompts))
    }
    printLegend(
      [("NFE", "evaluations per image and branch of guidance")] + scoresLegend + [
        ("RMSE", "of the latents to a 500-step solution from the same noise, \(trajectoryImages) images")
      ])
    return results
  }

  /// The latents that the probability-flow ODE leads to, by 500 second-order steps.
  private func convergedLatents(for family: SolverEntry.Family) async throws -> [DenseTensor<Float>] {
    let pipeline = bench.pipeline(for: family)
    let solver = try SolverCatalogue.entry(named: family == .flow ? "flow-midpoint" : "dpm++2m")
    let plan = try pipeline.scheduler.plan(solver, steps: 500, spacing: .trailing)
    return try await bench.sample(
      bench.prompts.prefix(trajectoryImages).map(\.text), scale: Self.scale, plan: plan, with: pipeline,
      decoding: false, label: "converged \(family.rawValue) trajectories"
    ).latents
  }
}
