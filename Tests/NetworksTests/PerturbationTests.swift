import Checkpoints
import DenseTensors
import Networks
import Tensors
import Testing

/// A UNet with some of its layers disturbed, for some images of a batch.
@Suite("Disturbed layers")
struct PerturbationTests {
  static let layers = ["mid_block", "up_blocks.1.attentions.1", "down_blocks.0.attentions.0"]
  static let kinds: [(name: String, kind: UNetPerturbation.Kind)] = [
    ("identity", .identityAttention), ("mean", .blurredQueries(sigma: .infinity)),
    ("blurred", .blurredQueries(sigma: 0.8)), ("skipped", .skipped),
  ]

  @Test(arguments: kinds.indices) func outputsAreAsInDiffusers(_ index: Int) throws {
    let (name, kind) = Self.kinds[index]
    let model = try UNet2DConditionModel(Fixtures.folder(), component: "unet-sd")
    let io = try Fixtures.records(of: "unet-sd")[0]
    let expected = try SafetensorsFile(
      url: Fixtures.networks.appending(path: "unet-sd/perturbed.safetensors")
    ).tensor("out.\(name)")
    let sample = try io.tensor("in.sample").channelsLast()
    let times = try io.floats("in.timestep").map(Double.init)
    let context = try io.tensor("in.encoder_hidden_states")
    let prompts = (0..<times.count).map { model.prepare(context[outer: $0]) }
    let perturbation = try model.perturbation(kind, layers: Self.layers)
    let disturbed = model(
      sample, timesteps: times, prompts: prompts, perturbations: times.map { _ in perturbation })
    let error = disturbed.channelsFirst().relativeError(to: expected)
    print("\(name): \(error)")
    #expect(error < 2e-5)
    #expect(try disturbed.channelsFirst().relativeError(to: io.tensor("out.sample")) > 1e-3)

    // Beside a plain image, each is what it is among its like.
    let plain = model(sample, timesteps: times, prompts: prompts)
    let mixed = model(sample, timesteps: times, prompts: prompts, perturbations: [nil, perturbation])
    #expect(mixed[outer: 0] == plain[outer: 0])
    #expect(mixed[outer: 1] == disturbed[outer: 1])
    let alone = model(
      .stacking([sample[outer: 1]]), timesteps: [times[1]], prompts: [prompts[1]], perturbations: [perturbation])
    #expect(alone[outer: 0] == disturbed[outer: 1])
  }

  @Test func unknownLayersAreErrors() throws {
    let model = try UNet2DConditionModel(Fixtures.folder(), component: "unet-sd")
    for name in ["", "mid", "up_blocks.0", "up_blocks.1.attentions.7"] {
      let error = #expect(throws: UnknownLayerError.self) {
        try model.perturbation(.skipped, layers: ["mid_block", name])
      }
      #expect(error?.name == name)
    }
  }
}
