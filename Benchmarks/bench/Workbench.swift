import Fewstep
import Foundation
import GlyphEvaluation
import Glyphs

/// The models, the prompts and the judge of all measurements, and the way pictures are sampled in them.
struct Workbench: Sendable {
  /// Pictures sampled at once; with guidance the denoiser sees twice as many.
  static let batchSize = 8
  static let seed: UInt64 = 1000

  let epsilon: TextToImagePipeline
  let flow: TextToImagePipeline
  let evaluator: GlyphEvaluator
  let prompts: [GlyphPrompt]

  init() throws {
    epsilon = try TextToImagePipeline(Glyphs.epsilon())
    flow = try TextToImagePipeline(Glyphs.flow())
    evaluator = try GlyphEvaluator()
    prompts = try GlyphPrompt.evaluation()
  }

  func pipeline(for family: SolverEntry.Family) -> TextToImagePipeline { family == .flow ? flow : epsilon }

  /// Pictures and what they took.
  struct Batch: Sendable {
    var latents: [DenseTensor<Float>] = []
    var pixels: [DenseTensor<Float>] = []
    var images: [Image] = []
    var seconds = 0.0
    /// How each picture's evaluations were made, with a step cache.
    var counts: [StepCacheCounts] = []
  }

  /// Samples picture i from prompt i and noise field i, whatever the batches.
  func sample(
    _ prompts: [String], negative: String = "", scale: Double, plan: SamplingPlan, with pipeline: TextToImagePipeline,
    decoding: Bool = true, tokenMerging: Double? = nil, stepCache: StepCache? = nil, label: String
  ) async throws -> Batch {
    let progress = Progress(label, of: prompts.count)
    let guidance = try ClassifierFreeGuidance(scale: scale)
    let shape = try pipeline.latentShape(size: nil)
    var batch = Batch()
    for first in stride(from: 0, to: prompts.count, by: Self.batchSize) {
      let range = first..<min(first + Self.batchSize, prompts.count)
      let start = ContinuousClock.now
      let pairs = try range.map { index in
        let embeddings = try pipeline.promptEncoder([negative, prompts[index]])
        return TextToImagePipeline.Prompts(
          try pipeline.denoiser, positive: [embeddings[1]], negative: [embeddings[0]])
      }
      let steps = stepCache.map { StepCacheMemory($0) }
      let latents: [DenseTensor<Float>] = try await plan.run(
        fields: range.map { NoiseField(seed: Self.seed, image: UInt32($0)) }, shape: shape, guidance: guidance,
        observe: { step in progress.update(Double(first) + Double(step.step * range.count) / Double(plan.stepCount)) },
        denoise: {
          try pipeline.denoise(
            $0, prompts: pairs, tokenMerging: tokenMerging, steps: steps, readsVariance: plan.readsVariance)
        })
      if let steps { batch.counts += range.indices.map { steps.counts(of: $0 - range.startIndex) } }
      if decoding {
        let decoded = try pipeline.decode(latents)
        batch.pixels += decoded.map(\.pixels)
        batch.images += decoded.map(\.image)
      }
      batch.seconds += (ContinuousClock.now - start) / .seconds(1)
      batch.latents += latents
    }
    progress.finish()
    return batch
  }

  /// Of decoded pictures and the prompts of each.
  func scores(of pixels: [DenseTensor<Float>], prompts: [GlyphPrompt]) throws -> GlyphScores {
    try GlyphScores(evaluator.read(pixels), prompts: prompts, against: evaluator.statistics)
  }
}

/// One line on standard error that says what is being measured, on terminals only.
final class Progress {
  private let label: String
  private let total: Double
  private let isTerminal = isatty(STDERR_FILENO) == 1

  init(_ label: String, of total: Int) {
    self.label = label
    self.total = Double(total)
    update(0)
  }

  func update(_ done: Double) {
    guard isTerminal else { return }
    write("\r\u{1B}[K\(label): \(Int(100 * done / total)) %")
  }

  func finish() {
    if isTerminal { write("\r\u{1B}[K") }
  }

  private func write(_ text: String) {
    FileHandle.standardError.write(Data(text.utf8))
  }
}
