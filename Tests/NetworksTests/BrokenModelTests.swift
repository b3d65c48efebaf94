import Checkpoints
import Foundation
import Networks
import Testing

/// Folders that are almost models: every fault is an error that names the file and the key.
@Suite("Broken models")
struct BrokenModelTests {
  /// A copy of a fixture whose configuration is changed.
  static func folder(_ network: String, _ changes: [String: Any]) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data(#"{"_class_name": "Broken"}"#.utf8).write(to: folder.appending(path: "model_index.json"))
    let copy = folder.appending(path: network)
    try FileManager.default.copyItem(at: Fixtures.networks.appending(path: network), to: copy)
    let url = copy.appending(path: "config.json")
    var json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    json.merge(changes) { $1 }
    try JSONSerialization.data(withJSONObject: json).write(to: url)
    return folder
  }

  static func error(_ network: String, _ changes: [String: Any]) throws -> CheckpointError? {
    let url = try folder(network, changes)
    defer { try? FileManager.default.removeItem(at: url) }
    do {
      let folder = try ModelFolder(url: url)
      switch network.prefix(3) {
      case "une": _ = try UNet2DConditionModel(folder, component: network)
      case "vae": _ = try AutoencoderKL(folder, component: network)
      default: _ = try CLIPTextModel(folder, component: network)
      }
      return nil
    } catch {
      return error
    }
  }

  @Test(
    arguments: [
      ("unet-sd", "act_fn", "tanh"), ("unet-sd", "mid_block_type", "UNetMidBlock3D"),
      ("unet-sd", "class_embed_type", "timestep"), ("unet-sd", "time_embedding_type", "fourier"),
      ("vae-sd", "act_fn", "softsign"), ("text-gelu", "hidden_act", "elu"), ("text-gelu", "model_type", "t5"),
    ] as [(String, String, String)])
  func unsupportedNames(_ network: String, _ key: String, _ value: String) throws {
    let error = try #require(try Self.error(network, [key: value]))
    #expect(error.kind == .badConfiguration && error.key == key && error.found.contains(value))
    #expect(error.description.contains(network))
  }

  @Test(
    arguments: [
      ("unet-sd", "block_out_channels", []), ("unet-sd", "block_out_channels", [8, -16, 24, 24]),
      ("unet-sd", "block_out_channels", [8, 16, 24, 25]), ("unet-sd", "layers_per_block", [1]),
      ("unet-sd", "attention_head_dim", [7, 7, 7, 7]), ("unet-sd", "sample_size", [64, 0]),
      ("unet-sd", "sample_size", [64]), ("vae-sd", "block_out_channels", [1_000_000_000]),
    ] as [(String, String, [Int])])
  func impossibleLists(_ network: String, _ key: String, _ value: [Int]) throws {
    let error = try #require(try Self.error(network, [key: value]))
    #expect(error.kind == .badConfiguration && error.key == key)
  }

  @Test(
    arguments: [
      ("unet-sd", "norm_num_groups", 0.0), ("unet-sd", "in_channels", 4.5), ("unet-sd", "downsample_padding", 3),
      ("unet-sd", "conv_in_kernel", 4), ("unet-sd", "sample_size", 0.5), ("unet-sd", "sample_size", -64),
      ("unet-sd", "resnet_out_scale_factor", 2), ("vae-sd", "scaling_factor", 0),
      ("text-gelu", "num_attention_heads", 5), ("text-gelu", "vocab_size", -1),
    ] as [(String, String, Double)])
  func impossibleNumbers(_ network: String, _ key: String, _ value: Double) throws {
    let error = try #require(try Self.error(network, [key: value]))
    #expect(error.kind == .badConfiguration && error.key == key)
  }

  /// diffusers writes one side or both.
  @Test func sidesOfSamples() throws {
    for (value, expected) in [(24, [24, 24]), ([24, 16], [24, 16]), (NSNull(), nil)] as [(Any, [Int]?)] {
      let url = try Self.folder("unet-sd", ["sample_size": value])
      defer { try? FileManager.default.removeItem(at: url) }
      let size = try UNetConfiguration(ModelFolder(url: url), component: "unet-sd").sampleSize
      #expect(size.map { [$0.height, $0.width] } == expected)
    }
  }

  @Test(
    arguments: [
      ("unet-sd", "in_channels", 5, "conv_in.weight"), ("unet-sd", "cross_attention_dim", 16, "attn2.to_k.weight"),
      ("vae-sd", "latent_channels", 3, "conv_out.weight"),
      ("text-gelu", "vocab_size", 71, "token_embedding.weight"),
      ("text-gelu", "intermediate_size", 81, "mlp.fc1.weight"),
    ] as [(String, String, Int, String)])
  func weightsOfAnotherShape(_ network: String, _ key: String, _ value: Int, _ tensor: String) throws {
    let error = try #require(try Self.error(network, [key: value]))
    #expect(error.kind == .misshapenTensor)
    #expect(try #require(error.key).hasSuffix(tensor))
  }

  @Test func missingWeights() throws {
    let layers = try #require(try Self.error("text-gelu", ["num_hidden_layers": 4]))
    #expect(layers.kind == .missingTensor && layers.key == "text_model.encoder.layers.3.layer_norm1.weight")
    let quantization = try #require(try Self.error("vae-odd", ["use_post_quant_conv": true]))
    #expect(quantization.kind == .missingTensor && quantization.key == "post_quant_conv.weight")
  }
}
