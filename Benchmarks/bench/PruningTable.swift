import Fewstep
import Foundation
import GlyphEvaluation
import Glyphs

/// Quality against speed of the bundled model with less of it, DPM-Solver++ 2M at 20 steps.
struct PruningTable {
  struct Row: Sendable {
    let name: String
    var heads = 0.0
    var blocks = 0
    var compensation = HeadCompensation.leastSquares
    var tokenMerging: Double?
  }

  static let rows = [
    Row(name: "whole"),
    Row(name: "heads-12.5%", heads: 0.125), Row(name: "heads-25%", heads: 0.25),
    Row(name: "heads-25%-mean", heads: 0.25, compensation: .mean),
    Row(name: "heads-25%-none", heads: 0.25, compensation: .none), Row(name: "heads-50%", heads: 0.5),
    Row(name: "blocks-1", blocks: 1), Row(name: "blocks-2", blocks: 2),
    Row(name: "blocks-2-heads-25%", heads: 0.25, blocks: 2),
    Row(name: "merging-25%", tokenMerging: 0.25), Row(name: "merging-50%", tokenMerging: 0.5),
  ]

  /// The row of a name, or those whose names begin with it.
  static func rows(named name: String) -> [Row] {
    let exact = rows.filter { $0.name == name }
    return exact.isEmpty ? rows.filter { $0.name.hasPrefix(name) } : exact
  }

  struct Result: Encodable {
    let name: String
    /// The whole model's time over this one's, for one evaluation of 2 images: the median of rounds in turns.
    let speedup: Double
    let milliseconds: Double
    /// The same for one image of 256x256, whose finest attention has 1024 pixels.
    let largeSpeedup: Double
    let largeMilliseconds: Double
    /// Bytes of the UNet's weights in memory, and of its file.
    let weightBytes: Int
    let fileBytes: Int
    /// Bytes that generating a batch takes, as planned: weights of all networks and tensors.
    let peakBytes: Int
    /// Of the pictures to the whole model's from the same noise.
    let quality: ImageComparison
    let scores: GlyphScores
    /// Of the share that is right in all three, its standard error as of independent pictures.
    let standardError: Double
    let removed: [String]
  }

  let bench: Workbench
  let images: Int

  private static var table: Table<Result> {
    Table(
      [
        .init("model", 20) { $0.name }, .init("speed-up", 9) { times($0.speedup, 3) },
        .init("ms/eval", 8) { decimal($0.milliseconds, 2) }, .init("at 256", 7) { times($0.largeSpeedup, 3) },
        .init("ms/eval", 8) { decimal($0.largeMilliseconds, 1) }, .init("UNet MB", 8) { megabytes($0.weightBytes, 2) },
        .init("file MB", 8) { megabytes($0.fileBytes, 2) }, .init("peak MB", 8) { megabytes($0.peakBytes) },
      ] + Table.comparison(\.quality) + Table.scores(\.scores) + [
        .init("±", 4) { percent($0.standardError) }, .init("images", 6) { "\($0.scores.images)" },
      ])
  }

  func measure(_ rows: [Row]) async throws -> [Result] {
    let whole = bench.epsilon
    let prompts = Array(bench.prompts.prefix(images))
    let reference = try await sample(prompts, with: whole, Row(name: "whole"))
    // Prompts that are not those of the pictures, where there are so many.
    let calibration = bench.prompts.suffix(64).map(\.text)
    let study = try PruningStudy(
      try whole.denoiser, samples: await whole.calibrationSamples(prompts: calibration, limit: 64))
    let results = try await Self.table.rows(
      "Less of a model, DPM-Solver++ 2M with 20 steps, guidance \(decimal(SamplerTable.scale, 0))", rows
    ) { row, _ in
      try await measure(row, study: study, prompts: prompts, reference: reference)
    }
    printLegend(
      [
        ("speed-up", "of one evaluation of the UNet, 2 images of 64x64, the median of turns with the whole model"),
        ("at 256", "one image of 256x256, which the model was not trained on: it shows the cost of attention"),
      ] + comparisonLegend + scoresLegend + [("±", "standard error of all 3")])
    return results
  }

  private func measure(
    _ row: Row, study: PruningStudy, prompts: [GlyphPrompt], reference: Workbench.Batch
  ) async throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    let choice = try study.choose(headShare: row.heads, blocks: row.blocks, compensation: row.compensation)
    try Glyphs.epsilon().writePruned(choice, to: url)
    let pipeline = try TextToImagePipeline(ModelFolder(url: url))
    let batch = try await sample(prompts, with: pipeline, row)
    var request = GenerationRequest(prompts[0].text, solver: "dpm++2m", count: Workbench.batchSize)
    request.tokenMerging = row.tokenMerging
    let merging = row.tokenMerging ?? 0
    let small = try await turns(pipeline, images: 2, side: 16, tokenMerging: merging, rounds: 151)
    let large = try await turns(pipeline, images: 1, side: 64, tokenMerging: merging, rounds: 15)
    let file = url.appending(path: "unet/diffusion_pytorch_model.safetensors")
    let scores = try bench.scores(of: batch.pixels, prompts: prompts)
    return Result(
      name: row.name, speedup: small.speedup, milliseconds: small.job.median, largeSpeedup: large.speedup,
      largeMilliseconds: large.job.median,
      weightBytes: try pipeline.denoiser.weightBytes,
      fileBytes: try file.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0,
      peakBytes: try pipeline.memory(for: request).peak,
      quality: ImageComparison(batch.images, with: reference.images), scores: scores,
      standardError: (scores.allThree * (1 - scores.allThree) / Double(scores.images)).squareRoot(),
      removed: choice.blocks.map(\.block) + choice.heads.map { "\($0.attention) head \($0.head)" })
  }

  private func sample(
    _ prompts: [GlyphPrompt], with pipeline: TextToImagePipeline, _ row: Row
  ) async throws -> Workbench.Batch {
    let plan = try pipeline.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: 20)
    return try await bench.sample(
      prompts.map(\.text), scale: SamplerTable.scale, plan: plan, with: pipeline, tokenMerging: row.tokenMerging,
      label: row.name)
  }

  /// Another model's evaluations and the whole one's.
  private func turns(
    _ other: TextToImagePipeline, images count: Int, side: Int, tokenMerging: Double, rounds: Int
  ) async throws -> Turns {
    let latents = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed), shape: [count, side, side, 4])
    let embeddings = try bench.epsilon.promptEncoder([bench.prompts[0].text])[0]
    func evaluation(_ pipeline: TextToImagePipeline, merging: Double) throws -> () -> Void {
      let denoiser = try pipeline.denoiser
      let prompts = Array(repeating: denoiser.prepare(embeddings), count: count)
      return {
        _ = denoiser(
          latents, timesteps: Array(repeating: 500, count: count), prompts: prompts, tokenMerging: merging)
      }
    }
    return try await Turns(
      rounds: rounds, of: evaluation(other, merging: tokenMerging), over: evaluation(bench.epsilon, merging: 0))
  }
}
