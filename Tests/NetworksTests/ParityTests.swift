import Checkpoints
import DenseTensors
import Networks
import Tensors
import Testing

/// Small random networks against what diffusers and transformers compute of them in double precision.
@Suite("Parity with diffusers and transformers")
struct ParityTests {
  /// Single precision against double: the bound is that of the library's promise, 1e-4, with room to spare.
  static let tolerance = 2e-5

  @Test(arguments: ["unet-sd", "unet-sd2", "unet-odd", "unet-scale-shift", "unet-plain", "unet-pad"])
  func unet(_ name: String) throws {
    let model = try UNet2DConditionModel(Fixtures.folder(), component: name)
    for record in try Fixtures.records(of: name) {
      let context = try record.tensor("in.encoder_hidden_states")
      let prompts = (0..<context.shape[0]).map { model.prepare(context[outer: $0]) }
      let output = model(
        try record.tensor("in.sample").channelsLast(), timesteps: try record.floats("in.timestep").map(Double.init),
        prompts: prompts)
      #expect(output.channelsFirst().relativeError(to: try record.tensor("out.sample")) < Self.tolerance)
    }
  }

  @Test(arguments: ["vae-sd", "vae-odd", "vae-old"])
  func autoencoder(_ name: String) throws {
    let model = try AutoencoderKL(Fixtures.folder(), component: name)
    for record in try Fixtures.records(of: name) {
      let moments = model.moments(of: try record.tensor("in.image").channelsLast())
      #expect(moments.channelsFirst().relativeError(to: try record.tensor("out.moments")) < Self.tolerance)
      let image = model.decode(try record.tensor("in.latents").channelsLast())
      #expect(image.channelsFirst().relativeError(to: try record.tensor("out.decoded")) < Self.tolerance)
    }
  }

  @Test(arguments: ["text-quickgelu", "text-gelu"])
  func textEncoder(_ name: String) throws {
    let model = try CLIPTextModel(Fixtures.folder(), component: name)
    for record in try Fixtures.records(of: name) {
      let shape = try record.entry("in.ids").shape
      let ids = try record.int64s("in.ids").map { Int($0) }
      let prompts = (0..<shape[0]).map { Array(ids[$0 * shape[1]..<($0 + 1) * shape[1]]) }
      #expect(model(prompts).relativeError(to: try record.tensor("out.last_hidden_state")) < 1e-5)
    }
  }

  @Test func scalingAndShift() throws {
    let model = try AutoencoderKL(Fixtures.folder(), component: "vae-odd")
    let latents = try Fixtures.records(of: "vae-odd")[0].tensor("in.latents").channelsLast()
    let scaled = latents.affine(scale: 1, shift: -0.0609).affine(scale: 1.5305, shift: 0)
    #expect(model.decode(scaled: scaled).relativeError(to: model.decode(latents)) < 1e-5)
  }
}
