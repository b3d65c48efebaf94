import Fewstep
import Foundation
import GlyphEvaluation
import Glyphs

/// What every precision costs and gives on the bundled model, picture for picture against single precision.
struct PrecisionTable {
  static let scale = 7.5
  static let steps = 20

  /// A model to measure: the bundled one at a precision, or a folder that was quantized ahead of time.
  struct Setting: Sendable {
    let name: String
    /// nil is what the folder was quantized for.
    let precision: Precision?
    /// nil is the bundled model.
    var folder: URL?
  }

  struct Result: Encodable {
    let name: String
    let millisecondsPerImage: Double
    let speedup: Double
    /// Bytes that a request of one picture takes at most, as planned: weights and activations.
    let peakMemory: Int
    /// Bytes of the denoiser's weights once loaded.
    let weightBytes: Int
    /// Of the pictures to those of the first row.
    let quality: ImageComparison
    let scores: GlyphScores
  }

  let bench: Workbench
  let images: Int

  func measure(_ settings: [Setting]) async throws -> [Result] {
    let table = Table<Result>(
      [
        .init("precision", 16) { $0.name }, .init("ms/image", 9) { decimal($0.millisecondsPerImage, 1) },
        .init("speed-up", 8) { times($0.speedup, 2) }, .init("peak MB", 8) { megabytes($0.peakMemory) },
        .init("weights MB", 10) { megabytes($0.weightBytes, 2) },
      ] + Table.comparison(\.quality) + Table.scores(\.scores) + [.init("images", 6) { "\($0.scores.images)" }])
    let prompts = Array(bench.prompts.prefix(images))
    var reference: [Image] = []
    let results = try await table.rows(
      "Precisions, DPM-Solver++ 2M with \(Self.steps) steps, guidance \(Self.scale), against float32 with equal seeds",
      settings
    ) { setting, earlier in
      let folder =
        try setting.folder.map { url throws(CheckpointError) in try ModelFolder(url: url) } ?? Glyphs.epsilon()
      let pipeline = try TextToImagePipeline(folder, precision: setting.precision)
      let plan = try pipeline.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: Self.steps)
      let batch = try await bench.sample(
        prompts.map(\.text), scale: Self.scale, plan: plan, with: pipeline, label: setting.name)
      if reference.isEmpty { reference = batch.images }
      let milliseconds = 1000 * batch.seconds / Double(prompts.count)
      return Result(
        name: setting.name, millisecondsPerImage: milliseconds,
        speedup: (earlier.first?.millisecondsPerImage ?? milliseconds) / milliseconds,
        peakMemory: try pipeline.memory(for: GenerationRequest("a", guidanceScale: Self.scale)).peak,
        weightBytes: try pipeline.denoiser.weightBytes, quality: ImageComparison(batch.images, with: reference),
        scores: try bench.scores(of: batch.pixels, prompts: prompts))
    }
    printLegend(
      [
        ("peak", "weights and activations of one picture's request, as planned"), ("weights", "the denoiser's"),
      ] + comparisonLegend + scoresLegend)
    return results
  }
}
