import Fewstep
import Foundation
import Glyphs
import Testing

@Suite("bench")
struct BenchTests {
  static let model = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Sources/Glyphs/Resources/glyphs").path

  @Test(arguments: [
    (["--only", "nope"], "--only nope: there are samplers"),
    (["--images", "0"], "--images 0"),
    (["precision", "--images", "0"], "--images 0"),
    (["precision", "--only", "int3"], "'int3' is invalid for '--only"),
    (["presets", "--images", "0"], "--images 0"),
    (["toolkit", "--images", "513"], "--images 513"),
    (["toolkit", "--only", "nope"], "--only nope: there are DDPM, 1000 steps"),
    (["pruning", "--images", "0"], "--images 0"),
    (["pruning", "--only", "nope"], "--only nope: there are whole, heads-12.5%"),
    (["kernels", "--only", "nope"], "--only nope: there are products, convolutions, attention, passes, peaks"),
    (["model", "no-such-folder"], "no-such-folder/model_index.json"),
    (["model", model, "--component", "nope"], "'unet', 'vae' or 'text'"),
    (["model", model, "--batch", "0"], "--batch 0: expected 1 to 64"),
    (["model", model, "--size", "63"], "--size 63: expected a multiple of 4"),
    (["model", model, "--rounds", "0"], "--rounds 0"),
    (["caching", "--only", "nope"], "'nope' is invalid for '--only"),
    (["caching", "--images", "0"], "--images 0: expected 1 to 512"), (["caching", "--rounds", "0"], "--rounds 0"),
    (["forward", model, "--precision", "nope"], "'nope' is invalid for '--precision"),
    (["forward", model, "--precision", "bf16", "--input", "no-such-file"], "no-such-file"),
    (["forward", model, "--precision", "bfloat16", "--input", "no-such-file"], "no-such-file"),
    (["forward", model, "--input", "no-such-file"], "no-such-file"),
    (["forward", model, "--component", "text", "--input", "x.safetensors"], "x.safetensors"),
  ])
  func refusesWhatItDoesNotKnow(_ arguments: [String], _ message: String) throws {
    let result = try CommandResult("bench", arguments)
    #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
  }

  @Test(arguments: ["model", "forward"]) func helpHasTheShortNamesOfPrecisions(_ command: String) throws {
    let help = try CommandResult("bench", [command, "--help"]).output.split { $0.isWhitespace }.joined(separator: " ")
    #expect(help.contains("Default: fp32. (values: fp32, fp16, bf16, int8)"), "\(help)")
  }

  @Test func writesItsFigures() throws {
    let report = try report(["--only", "flow-euler-4", "--images", "2"], "flow Euler 4")
    let row = try #require((report["samplers"] as? [[String: Any]])?.first)
    #expect(row["evaluations"] as? Int == 4)
    #expect(try #require(row["millisecondsPerImage"] as? Double) > 0)
  }

  @Test func comparesPrecisionsPictureForPicture() throws {
    let report = try report(["precision", "--images", "2", "--only", "bf16"], "PSNR")
    let rows = try #require(report["precisions"] as? [[String: Any]])
    #expect(rows.map { $0["name"] as? String } == ["float32", "bfloat16"])
    let qualities = rows.compactMap { $0["quality"] as? [String: Any] }
    #expect(qualities.count == 2 && qualities[0]["identical"] as? Int == 2 && rows[0]["speedup"] as? Double == 1)
    #expect(try #require(qualities[1]["psnr"] as? Double) >= 30)
    let bytes = rows.compactMap { $0["weightBytes"] as? Int }
    #expect(bytes.count == 2 && 2 * bytes[1] < bytes[0] * 11 / 10)
  }

  @Test func measuresPresets() throws {
    let report = try report(["presets", "--images", "1"], "real-time")
    let rows = try #require(report["presets"] as? [[String: Any]])
    #expect(rows.compactMap { $0["name"] as? String } == Preset.all.map(\.name))
    for row in rows {
      let planned = try #require(row["plannedPeakBytes"] as? Int)
      #expect(planned > (try #require(row["weightBytes"] as? Int)))
      // Precision costs less than so few steps do; what adds noise has nothing to be compared with.
      let quality = row["quality"] as? [String: Any]
      if let psnr = quality?["psnr"] as? Double, let low = row["precisionPSNR"] as? Double {
        #expect(psnr > 20 && low > psnr)
      }
      #expect((quality == nil) == (row["name"] as? String == "research"))
    }
  }

  @Test func comparesCaches() throws {
    let report = try report(
      ["caching", "--images", "2", "--steps", "6", "--rounds", "1", "--only", "deepcache:2"], "PSNR")
    let rows = try #require(report["caches"] as? [[String: Any]])
    #expect(rows.map { $0["cache"] as? String } == ["none", "deepcache:2:2"])
    #expect(rows.last?["full"] as? Double == 0.5 && rows.last?["partial"] as? Double == 0.5)
  }

  @Test func showsWhereTheTimeGoes() throws {
    for (component, first) in [("unet", "attn2.to_k+to_v"), ("vae", "post_quant_conv"), ("text", "layer_norm1")] {
      let report = try report(["model", Self.model, "--component", component, "--rounds", "1"], "between layers")
      let layers = try #require(report["layers"] as? [[String: Any]])
      #expect((layers.first?["layer"] as? String)?.hasSuffix(first) == true, "\(component)")
      let shares = (try #require(report["kinds"] as? [[String: Any]])).compactMap { $0["share"] as? Double }
      // The last is the sum of all but the time between layers.
      #expect(abs(shares.dropLast().reduce(0, +) - 1) < 1e-6, "\(component)")
    }
  }

  @Test func runsAForwardPassForOthers() throws {
    try withTemporaryFolder { folder in
      let model = try UNet2DConditionModel(Glyphs.epsilon())
      let sample = DenseTensor<Float>(noise: NoiseField(seed: 1), shape: [1, 4, 16, 16])
      let prompt = DenseTensor<Float>(noise: NoiseField(seed: 2), shape: [1, 7, model.configuration.contextWidth])
      try SafetensorsWriter.write(
        [
          .init(name: "sample", shape: sample.shape, values: .float32(sample.elements)),
          .init(name: "timestep", shape: [1], values: .float32([200])),
          .init(name: "encoder_hidden_states", shape: prompt.shape, values: .float32(prompt.elements)),
        ], to: folder.appending(path: "in.safetensors"))
      let arguments = ["--input", "in.safetensors", "--output", "out.safetensors", "--rounds", "2"]
      let report = try report(["forward", Self.model] + arguments, "above the weights", in: folder)
      #expect((report["milliseconds"] as? [Double])?.count == 2 && report["precision"] as? String == "float32")
      let parameters = try #require(report["parameters"] as? Int)
      #expect(report["weightBytes"] as? Int == 4 * parameters)
      let expected = model(
        sample.channelsLast(), timesteps: [200], prompts: [model.prepare(prompt[outer: 0])])
      let output = try SafetensorsFile(url: folder.appending(path: "out.safetensors")).floats("output")
      #expect(output == expected.channelsFirst().elements)
    }
  }

  /// What a run writes with --json, once it has printed `text`.
  private func report(_ arguments: [String], _ text: String, in folder: URL? = nil) throws -> [String: Any] {
    try withTemporaryFolder { temporary in
      let file = temporary.appending(path: "b.json")
      let result = try CommandResult("bench", arguments + ["--json", file.path], in: folder)
      #expect(result.status == 0 && result.output.contains(text), "\(result.errors)")
      return try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
    }
  }
}
