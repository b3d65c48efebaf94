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
    /// To the whole model's pictures from the same noise: of each picture, averaged. Infinite for the same pictures.
    let psnr: Double
    let ssim: Double
    let scores: GlyphScores
    /// Of the share that is right in all three, its standard error as of independent pictures.
    let standardError: Double
    let removed: [String]
  }

  let bench: Workbench
  let images: Int

  func measure(_ rows: [Row]) async throws -> [Result] {
    print("Less of a model, DPM-Solver++ 2M with 20 steps, guidance \(decimal(SamplerTable.scale, 0))")
    let table = TablePrinter(columns: [
      ("model", 20), ("speed-up", 9), ("ms/eval", 8), ("at 256", 7), ("ms/eval", 8), ("UNet MB", 8), ("file MB", 8),
      ("peak MB", 8), ("PSNR", 6),
      ("SSIM", 6), ("Fréchet", 8), ("char %", 7), ("all 3 %", 8), ("±", 4), ("images", 7),
    ])
    table.printHeading()
    let whole = bench.epsilon
    let prompts = Array(bench.prompts.prefix(images))
    let reference = try await sample(prompts, with: whole, Row(name: "whole"))
    // Prompts that are not those of the pictures, where there are so many.
    let calibration = bench.prompts.suffix(64).map(\.text)
    let study = try PruningStudy(
      try whole.denoiser, samples: await whole.calibrationSamples(prompts: calibration, limit: 64))
    var results: [Result] = []
    for row in rows {
      let result = try await measure(row, study: study, prompts: prompts, reference: reference)
      results.append(result)
      table.printRow([
        row.name, decimal(result.speedup, 3) + "x", decimal(result.milliseconds, 2),
        decimal(result.largeSpeedup, 3) + "x", decimal(result.largeMilliseconds, 1),
        decimal(Double(result.weightBytes) / 1e6, 2), decimal(Double(result.fileBytes) / 1e6, 2),
        decimal(Double(result.peakBytes) / 1e6, 1), decimal(result.psnr, 1), decimal(result.ssim, 3),
        decimal(result.scores.frechet, 1), percent(result.scores.character), percent(result.scores.allThree),
        percent(result.standardError), "\(result.scores.images)",
      ])
    }
    print(
      """
      speed-up: of one evaluation of the UNet, 2 images of 64x64, the median of rounds in turns with the whole model; at 256: \
      one image of 256x256, which the model was not trained on and which shows the cost of attention. PSNR and SSIM: to the whole \
      model's pictures from the same noise. all 3: character and both colours; ±: its standard error.

      """)
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
    let times = try turns(pipeline, images: 2, side: 16, tokenMerging: merging, rounds: 151)
    let large = try turns(pipeline, images: 1, side: 64, tokenMerging: merging, rounds: 15)
    let file = url.appending(path: "unet/diffusion_pytorch_model.safetensors")
    let scores = try bench.scores(of: batch, prompts: prompts)
    return Result(
      name: row.name, speedup: times.speedup, milliseconds: times.milliseconds,
      largeSpeedup: large.speedup, largeMilliseconds: large.milliseconds,
      weightBytes: try pipeline.denoiser.weightBytes,
      fileBytes: try file.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0,
      peakBytes: try pipeline.memory(for: request).peak,
      psnr: mean(zip(batch.images, reference.images).map { $0.psnr(to: $1) }),
      ssim: mean(zip(batch.images, reference.images).map { $0.ssim(to: $1) }),
      scores: scores, standardError: (scores.allThree * (1 - scores.allThree) / Double(scores.images)).squareRoot(),
      removed: choice.blocks.map(\.block) + choice.heads.map { "\($0.attention) head \($0.head)" })
  }

  private func sample(
    _ prompts: [GlyphPrompt], with pipeline: TextToImagePipeline, _ row: Row
  ) async throws -> Workbench.Batch {
    let plan = try pipeline.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: 20)
    return try await bench.sample(
      prompts.map(\.text), scale: SamplerTable.scale, plan: plan, with: pipeline, tokenMerging: row.tokenMerging,
      progress: Progress(row.name, of: prompts.count))
  }

  /// The whole model and another in turns, so that both see the machine in the same states.
  private func turns(
    _ other: TextToImagePipeline, images count: Int, side: Int, tokenMerging: Double, rounds: Int
  ) throws -> (speedup: Double, milliseconds: Double) {
    let latents = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed), shape: [count, side, side, 4])
    let embeddings = try bench.epsilon.promptEncoder([bench.prompts[0].text])[0]
    let (whole, less) = try (bench.epsilon.denoiser, other.denoiser)
    func time(_ denoiser: UNet2DConditionModel, _ prompt: UNet2DConditionModel.Prompt, _ merging: Double) -> Double {
      let start = milliseconds()
      _ = denoiser(
        latents, timesteps: Array(repeating: 500, count: count), prompts: Array(repeating: prompt, count: count),
        tokenMerging: merging)
      return milliseconds() - start
    }
    let (first, second) = (whole.prepare(embeddings), less.prepare(embeddings))
    return mediansOfTurns(rounds: rounds) {
      time(whole, first, 0)
    } other: {
      time(less, second, tokenMerging)
    }
  }
}

/// Milliseconds: of the processor with one thread, which other programs disturb less, and else of the wall's clock.
private func milliseconds() -> Double {
  var now = timespec()
  clock_gettime(ThreadPool.threadCount == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now)
  return 1e3 * Double(now.tv_sec) + 1e-6 * Double(now.tv_nsec)
}

/// The medians of the ratios of two jobs' times and of the second's time, in rounds that take them in either order.
private func mediansOfTurns(
  rounds: Int, whole: () -> Double, other: () -> Double
) -> (speedup: Double, milliseconds: Double) {
  _ = (whole(), other())
  var ratios: [Double] = []
  var times: [Double] = []
  for round in 0..<rounds {
    let (first, second): (Double, Double)
    if round % 2 == 0 {
      first = whole()
      second = other()
    } else {
      second = other()
      first = whole()
    }
    ratios.append(first / second)
    times.append(second)
  }
  return (ratios.sorted()[rounds / 2], times.sorted()[rounds / 2])
}

private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
