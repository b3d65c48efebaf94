import DenseTensors
import Networks
import Sampling
import Tensors

extension TextToImagePipeline {
  /// Points of the trajectories that prompts lead to, for scoring and quantizing layers: of the whole of each, with and
  /// without the prompt.
  ///
  /// - Parameters:
  ///   - prompts: of an image each.
  ///   - steps: of the model's own solver.
  ///   - limit: the most points to return, evenly spread over steps, images and branches of guidance.
  /// - Throws: `SamplingError`, `CancellationError`, `CheckpointError`; ``PipelineError`` for an impossible
  ///   ``batchSize``.
  public nonisolated(nonsending) func calibrationSamples(
    prompts: [String], steps: Int = 10, guidanceScale: Double = 4, seed: UInt64 = 0, limit: Int = 64
  ) async throws -> [CalibrationSample] {
    try checkBatchSize()
    let sampler = try sampler(for: GenerationRequest("", steps: steps))
    let shape = try latentShape(size: nil)
    let denoiser = try denoiser
    var samples: [CalibrationSample] = []
    for first in stride(from: 0, to: prompts.count, by: batchSize) {
      let range = first..<min(first + batchSize, prompts.count)
      let pairs = try range.map { index in
        let embeddings = try promptEncoder([defaultNegativePrompt, prompts[index]])
        return Prompts(denoiser, positive: [embeddings[1]], negative: [embeddings[0]])
      }
      let _: [SamplingResult<DenseTensor<Float>>] = try await sampler.sample(
        fields: range.map { NoiseField(seed: seed, image: UInt32($0)) }, shape: shape,
        guidance: ClassifierFreeGuidance(scale: guidanceScale),
        denoise: { requests in
          for request in requests {
            guard let prompt = pairs[request.image].prompt(for: request.branch) else { continue }
            samples.append(
              CalibrationSample(input: input(of: request), timestep: request.time.timestep, prompt: prompt))
          }
          return try denoise(
            requests, prompts: pairs, tokenMerging: nil, steps: nil, readsVariance: sampler.readsVariance,
            with: denoiser, memory: nil)
        })
    }
    guard limit > 0 else { return [] }
    // An odd stride takes both branches in turn.
    let stride = (samples.count + limit - 1) / limit | 1
    return samples.indices.filter { $0 % max(stride, 1) == 0 }.map { samples[$0] }
  }
}
