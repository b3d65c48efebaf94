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
    /// Decibels of the mean squared difference over all pictures; infinite where all are equal.
    let psnr: Double
    /// The mean of the pictures' own.
    let meanPSNR: Double?
    let worstPSNR: Double
    let ssim: Double
    let identical: Int
    let scores: GlyphScores
  }

  let bench: Workbench
  let images: Int

  func measure(_ settings: [Setting]) async throws -> [Result] {
    print(
      "Precisions, DPM-Solver++ 2M with \(Self.steps) steps, guidance \(Self.scale), against float32 with equal seeds")
    let table = TablePrinter(columns: [
      ("precision", 16), ("ms/image", 9), ("speed-up", 8), ("peak MB", 8), ("weights MB", 10), ("PSNR", 6),
      ("worst", 6), ("SSIM", 6), ("equal", 5), ("Fréchet", 7), ("char %", 6), ("all 3 %", 7), ("images", 6),
    ])
    table.printHeading()
    let prompts = Array(bench.prompts.prefix(images))
    var reference: [Image] = []
    var results: [Result] = []
    for setting in settings {
      let folder =
        try setting.folder.map { url throws(CheckpointError) in try ModelFolder(url: url) }
        ?? Glyphs.epsilon()
      let pipeline = try TextToImagePipeline(folder, precision: setting.precision)
      let plan = try pipeline.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: Self.steps)
      let batch = try await bench.sample(
        prompts.map(\.text), scale: Self.scale, plan: plan, with: pipeline,
        progress: Progress(setting.name, of: prompts.count))
      let pictures = try batch.pixels.map { try Image(width: $0.shape[1], height: $0.shape[0], rgb: $0.elements) }
      if reference.isEmpty { reference = pictures }
      let result = try Result(
        setting, pipeline: pipeline, batch: batch, pictures: pictures, reference: reference,
        milliseconds: results.first?.millisecondsPerImage, scores: bench.scores(of: batch, prompts: prompts))
      results.append(result)
      table.printRow([
        result.name, decimal(result.millisecondsPerImage, 1), decimal(result.speedup, 2) + "x",
        decimal(Double(result.peakMemory) / 1e6, 1), decimal(Double(result.weightBytes) / 1e6, 2),
        decimal(result.psnr, 1), decimal(result.worstPSNR, 1), decimal(result.ssim, 4), "\(result.identical)",
        decimal(result.scores.frechet, 2), percent(result.scores.character), percent(result.scores.allThree),
        "\(result.scores.images)",
      ])
    }
    print(
      """
      peak: weights and activations of one picture's request, as planned. weights: the denoiser's. PSNR: of the mean \
      squared difference over all pictures, in decibels; worst: of the picture that differs most; equal: pictures \
      without a difference. all 3: character and both colours.

      """)
    return results
  }
}

extension PrecisionTable.Result {
  fileprivate init(
    _ setting: PrecisionTable.Setting, pipeline: TextToImagePipeline, batch: Workbench.Batch, pictures: [Image],
    reference: [Image], milliseconds: Double?, scores: GlyphScores
  ) throws {
    name = setting.name
    millisecondsPerImage = 1000 * batch.seconds / Double(pictures.count)
    speedup = (milliseconds ?? millisecondsPerImage) / millisecondsPerImage
    peakMemory = try pipeline.memory(for: GenerationRequest("a", guidanceScale: PrecisionTable.scale)).peak
    weightBytes = try pipeline.denoiser.weightBytes
    let comparison = ImageComparison(pictures, with: reference)
    psnr = comparison.psnr
    meanPSNR = comparison.meanPSNR
    worstPSNR = comparison.worstPSNR
    identical = comparison.identical
    ssim = comparison.ssim
    self.scores = scores
  }
}
