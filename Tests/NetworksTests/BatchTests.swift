import Checkpoints
import DenseTensors
import Networks
import Tensors
import Testing

/// Images of a batch whose threads take parts of it, each with what is its own.
@Suite("Batches of networks")
struct BatchTests {
  /// As many images as fill every thread's part twice, so that the networks are run in parts.
  private static let count = 2 * ThreadPool.threadCount

  private static func repeated(_ tensor: DenseTensor<Float>) -> DenseTensor<Float> {
    .stacking((0..<count).map { tensor[outer: $0 % tensor.shape[0]].affine(scale: 1, shift: Float($0) / 10) })
  }

  /// The bits of one image alone, and of all with shared layers: times, prompts and disturbances go with their images.
  @Test(arguments: [0, 0.5]) func denoiser(tokenMerging: Double) throws {
    let model = try UNet2DConditionModel(Fixtures.folder(), component: "unet-sd")
    let record = try Fixtures.records(of: "unet-sd")[0]
    let context = try Self.repeated(record.tensor("in.encoder_hidden_states"))
    let sample = try Self.repeated(record.tensor("in.sample").channelsLast())
    let prompts = (0..<Self.count).map { model.prepare(context[outer: $0]) }
    let times = (0..<Self.count).map { 900 - 50 * Double($0) }
    let skipped = try model.perturbation(.skipped, layers: ["mid_block"])
    let perturbations = (0..<Self.count).map { $0 % 3 == 0 ? skipped : nil }
    func evaluate() -> DenseTensor<Float> {
      model(sample, timesteps: times, prompts: prompts, perturbations: perturbations, tokenMerging: tokenMerging)
    }
    let batch = evaluate()
    #expect(batch == BatchParts.sharingLayers(evaluate))
    for index in 0..<Self.count {
      let alone = model(
        .stacking([sample[outer: index]]), timesteps: [times[index]], prompts: [prompts[index]],
        perturbations: [perturbations[index]], tokenMerging: tokenMerging)
      #expect(batch[outer: index] == alone[outer: 0])
    }
  }

  @Test(arguments: ["vae-sd", "vae-odd"]) func decoder(_ name: String) throws {
    let model = try AutoencoderKL(Fixtures.folder(), component: name)
    let latents = try Self.repeated(Fixtures.records(of: name)[0].tensor("in.latents").channelsLast())
    let batch = model.decode(latents)
    #expect(batch == BatchParts.sharingLayers { model.decode(latents) })
    #expect(model.decode(scaled: latents) == BatchParts.sharingLayers { model.decode(scaled: latents) })
    for index in 0..<Self.count {
      #expect(batch[outer: index] == model.decode(.stacking([latents[outer: index]]))[outer: 0])
    }
  }
}
