import DenseTensors
import Networks
import Tensors
import Testing

@Suite("Profiles")
struct ProfileTests {
  /// - Parameter memory: what its tensors lie in, as in a pipeline.
  private static func runUNet(in memory: ActivationMemory<Int>? = nil) throws -> DenseTensor<Float> {
    let model = try UNet2DConditionModel(Fixtures.folder(), component: "unet-sd")
    let record = try Fixtures.records(of: "unet-sd")[0]
    let context = try record.tensor("in.encoder_hidden_states")
    let prompts = (0..<context.shape[0]).map { model.prepare(context[outer: $0]) }
    let (sample, timesteps) = try (
      record.tensor("in.sample").channelsLast(), record.floats("in.timestep").map(Double.init)
    )
    func evaluate() -> DenseTensor<Float> { model(sample, timesteps: timesteps, prompts: prompts) }
    return memory?.run(0, evaluate) ?? evaluate()
  }

  /// One test, since one profile can be recorded at a time.
  @Test func everyLayerIsRecordedOnce() throws {
    let plain = try Self.runUNet()
    let (output, profile) = try Profile.record { try Self.runUNet() }
    #expect(output == plain)
    // The first run of its kind is rehearsed, which is no run.
    let (planned, other) = try Profile.record { try Self.runUNet(in: ActivationMemory()) }
    #expect(planned == plain && other.layers.map(\.name) == profile.layers.map(\.name))

    // What torch.utils.flop_counter counts of the same model on the same inputs, on the meta device.
    #expect(profile.layers.reduce(0) { $0 + $1.operations } == 121_742_720)
    let sum = profile.layers.reduce(0) { $0 + $1.seconds }
    #expect(profile.layers.allSatisfy { $0.seconds >= 0 } && sum <= profile.seconds)

    let convolutions = profile.layers.filter { $0.kind == .convolution }
    #expect(convolutions.first?.name == "conv_in" && convolutions.last?.name == "conv_out")
    #expect(Set(convolutions.map(\.name)).count == convolutions.count)
    #expect(convolutions.first?.shape.hasPrefix("2x24x16 3x3, 4 to ") == true)
    let attention = profile.layers.filter { $0.kind == .attention }.map(\.name)
    #expect(attention.first == "down_blocks.0.attentions.0.transformer_blocks.0.attn1")
    #expect(attention.allSatisfy { $0.hasSuffix(".attn1") || $0.hasSuffix(".attn2") })

    // Nothing is left over from a run that fails, and layers of other threads are left out.
    struct Failure: Error {}
    #expect(throws: Failure.self) { try Profile.record { throw Failure() } }
    #expect(Profile.record {}.profile.layers.isEmpty)
  }
}
