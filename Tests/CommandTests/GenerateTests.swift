import Fewstep
import Foundation
import Testing

@Suite("fewstep generate")
struct GenerateTests {
  static let prompt = "a blue digit 7 on black, sans"

  @Test func writesAnImageWithItsParameters() throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult(
        "fewstep",
        ["generate", Self.prompt, "--negative", "blurry", "--solver", "dpm++2m", "--steps", "4", "--seed", "9"],
        in: folder)
      #expect(result.status == 0)
      #expect(try contents(of: folder) == ["fewstep.png"])
      let data = try Data(contentsOf: folder.appending(path: "fewstep.png"))
      let image = try Image(png: data)
      #expect((image.width, image.height) == (64, 64))
      let text = try #require(try Image.text(png: data).first { $0.keyword == "parameters" }?.text)
      #expect(
        text == """
          \(Self.prompt)
          Negative prompt: blurry
          Steps: 4, Sampler: dpm++2m, CFG scale: 7.5, Seed: 9, Size: 64x64, Model: glyphs, Version: fewstep \
          \(fewstepVersion)
          """)
      // Not a terminal: plain lines, no control characters.
      #expect(result.errors.contains("step 4 of 4") && !result.errors.contains("\u{1B}"))
    }
  }

  @Test func stepCachesSayWhatTheySaved() throws {
    try withTemporaryFolder { folder in
      let arguments = ["generate", Self.prompt, "--steps", "6", "--solver", "ddim", "--json"]
      let result = try CommandResult("fewstep", arguments + ["--step-cache", "deepcache:3"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      #expect(report["stepCache"] as? [[String: Int]] == [["full": 4, "partial": 8, "skipped": 0]])
      let refused = try CommandResult("fewstep", arguments + ["--step-cache", "deepcache"], in: folder)
      #expect(refused.status != 0 && refused.errors.contains("'deepcache' is invalid for '--step-cache"))
    }
  }

  @Test func imagesAreTheSameInAnyNumber() throws {
    try withTemporaryFolder { folder in
      let arguments = ["generate", Self.prompt, "--steps", "3", "--seed", "5", "--solver", "ddpm"]
      #expect(try CommandResult("fewstep", arguments + ["--count", "3"], in: folder).status == 0)
      #expect(try CommandResult("fewstep", arguments + ["--output", "alone.png"], in: folder).status == 0)
      #expect(try contents(of: folder) == ["alone.png", "fewstep-0.png", "fewstep-1.png", "fewstep-2.png"])
      let images = try ["alone", "fewstep-0", "fewstep-1"].map {
        try Image(png: Data(contentsOf: folder.appending(path: "\($0).png")))
      }
      #expect(images[0] == images[1])
      #expect(images[0] != images[2])
    }
  }

  @Test func aPresetChoosesAndOptionsOverrideIt() throws {
    try withTemporaryFolder { folder in
      func parameters(_ options: [String]) throws -> String {
        let result = try CommandResult("fewstep", ["generate", Self.prompt, "--preset"] + options, in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let data = try Data(contentsOf: folder.appending(path: "fewstep.png"))
        return try #require(try Image.text(png: data).first { $0.keyword == "parameters" }?.text)
      }
      let plain = try parameters(["real-time"])
      #expect(plain.contains("Steps: 10, Sampler: dpm++2m, Schedule type: karras, CFG scale: 7.5, Seed: 0"))
      #expect(plain.contains("Preset: real-time, Precision: \(Precision.half.rawValue), Size: 64x64"))
      let changed = try parameters(["interactive", "--steps", "3", "--precision", "float32", "--guidance", "2"])
      #expect(changed.contains("Steps: 3, Sampler: dpm++2m, Schedule type: karras, CFG scale: 2.0"))
      #expect(changed.contains("Preset: interactive, Size: 64x64"))
    }
  }

  /// All that is chosen stands in the file, and nothing that was not used.
  @Test func theParametersAreAllThere() throws {
    try withTemporaryFolder { folder in
      func parameters(_ options: [String]) throws -> String {
        let result = try CommandResult("fewstep", ["generate", Self.prompt, "--guidance", "3"] + options, in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let data = try Data(contentsOf: folder.appending(path: "fewstep.png"))
        return try #require(try Image.text(png: data).first { $0.keyword == "parameters" }?.text)
      }
      let plain = try parameters(["--steps", "2"])
      let absent = ["Guidance", "strength", "Shift", "start from", "Tolerance", "Schedule"]
      #expect(absent.allSatisfy { !plain.contains($0) }, "\(plain)")
      try FileManager.default.copyItem(
        at: folder.appending(path: "fewstep.png"), to: folder.appending(path: "first.png"))
      let many = try parameters([
        "--steps", "2", "--solver", "flow-euler", "--shift", "3", "--image", "first.png", "--strength", "0.5",
        "--guidance-method", "tangential", "--guidance-rescale", "0.7", "--guidance-interval", "0.1..5",
      ])
      for field in [
        "Sampler: flow-euler", "Shift: 3.0", "Guidance: tangential", "Guidance rescale: 0.7",
        "Guidance interval: 0.1..5.0", "Image to start from: first.png", "Denoising strength: 0.5",
      ] { #expect(many.contains(field), "\(field) in \(many)") }
      let adaptive = try parameters(["--solver", "dpm++-adaptive-23", "--rtol", "0.5"])
      #expect(adaptive.contains("Tolerance: 0.5, Maximum evaluations: ") && !adaptive.contains("Steps"))
    }
  }

  @Test(arguments: [
    ["--solver", "dpm++-adaptive-23", "--grid", "karras"], ["--solver", "dpm++-adaptive-23", "--steps", "5"],
    ["--guidance-method", "cfg++", "--guidance", "0.5"], ["--solver", "ddim-cfg++"],
  ])
  func whatDoesNotBelongTogetherIsRefused(_ options: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult("fewstep", ["generate", Self.prompt] + options, in: folder)
      #expect(result.status != 0 && result.errors.contains(options[0] == "--solver" ? options[1] : "cfg++"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
  }

  /// From the command line and from a file; each prompt's image is the one it has by itself.
  @Test func manyPromptsAreGeneratedTogether() throws {
    try withTemporaryFolder { folder in
      let prompts = [Self.prompt, "a bold red letter A on white, serif", "a white digit 3 on green"]
      try Data("\n  \(prompts[1])\r\n\(prompts[2])  \n\n".utf8).write(to: folder.appending(path: "list.txt"))
      let options = ["--steps", "2", "--seed", "5", "--json"]
      let result = try CommandResult(
        "fewstep", ["generate", prompts[0], "--prompts", "list.txt", "--count", "2"] + options, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      #expect(report["prompts"] as? [String] == prompts)
      #expect(report["files"] as? [String] == (0..<6).map { "fewstep-\($0).png" })
      for (number, prompt) in prompts.enumerated() {
        let alone = try CommandResult("fewstep", ["generate", prompt, "--output", "alone.png"] + options, in: folder)
        #expect(alone.status == 0)
        let images = try ["alone.png", "fewstep-\(2 * number).png"].map {
          try Image(png: Data(contentsOf: folder.appending(path: $0)))
        }
        #expect(images[0] == images[1])
      }
    }
  }

  @Test(arguments: [
    ([], "there is no prompt"),
    (["a", "b", "--latents", "x.safetensors"], "--latents are those of one prompt's images"),
    (["a", "--preset", "nope"], "real-time, interactive, batch, research"),
  ])
  func promptsAndPresetsAreChecked(_ arguments: [String], _ message: String) throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult("fewstep", ["generate"] + arguments, in: folder)
      #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
      #expect(!result.errors.contains("Domain"))
    }
  }

  /// From the prompt to the latents' bits, in every precision.
  @Test(arguments: Precision.allCases) func threadsDoNotChangeImages(_ precision: Precision) throws {
    try withTemporaryFolder { folder in
      let latents = try [1, 2, 3, 7].map { threads in
        let file = "\(threads).safetensors"
        let result = try CommandResult(
          "fewstep",
          [
            "generate", Self.prompt, "--steps", "3", "--count", "2", "--precision", precision.rawValue,
            "--save-latents", file,
          ], in: folder, environment: ["FEWSTEP_THREADS": "\(threads)"])
        #expect(result.status == 0, "\(result.errors)")
        return try Data(contentsOf: folder.appending(path: file))
      }
      for other in latents { #expect(other == latents[0]) }
    }
  }

  @Test func tooLittleMemoryIsRefused() throws {
    try withTemporaryFolder { folder in
      let arguments = ["generate", Self.prompt, "--steps", "1", "--json"]
      let refused = try CommandResult("fewstep", arguments + ["--max-memory", "5M"], in: folder)
      #expect(refused.status != 0 && refused.errors.contains("and the limit is 5 MB"))
      #expect(try contents(of: folder).isEmpty)
      let result = try CommandResult("fewstep", arguments + ["--max-memory", "1G"], in: folder)
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      let memory = try #require(report["memory"] as? Int)
      // The bundled model has 5.5 million weights of 4 bytes.
      #expect(memory > 20_000_000 && memory < 60_000_000)
      let less = try CommandResult(
        "fewstep", arguments + ["--precision", "bfloat16", "--max-memory", "20M"], in: folder)
      #expect(less.status == 0, "\(less.errors)")
    }
  }

  #if os(Linux)  // elsewhere address space has no limit
    /// A size in a file takes no memory before it is known to be the weights'.
    @Test func sizesAreCheckedBeforeMemoryIsTaken() throws {
      try withTemporaryFolder { folder in
        let model = folder.appending(path: "model")
        try FileManager.default.copyItem(at: glyphs, to: model)
        let url = model.appending(path: "unet/config.json")
        var json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        json["cross_attention_dim"] = 1 << 24
        try JSONSerialization.data(withJSONObject: json).write(to: url)
        let result = try CommandResult(
          "fewstep", ["generate", "x", "--model", "model"], in: folder, addressSpace: 6_000_000)
        #expect(result.status == 1 && result.errors.contains("attn2.to_k.weight`: found shape"), "\(result.errors)")
      }
    }
  #endif

  @Test func latentsAreWrittenAndReadInDiffusersOrder() throws {
    try withTemporaryFolder { folder in
      let latents = folder.appending(path: "latents.safetensors")
      let noise = DenseTensor<Float>(noise: NoiseField(seed: 3), shape: [1, 4, 16, 16])
      try SafetensorsWriter.write(
        [.init(name: "latents", shape: noise.shape, values: .float32(noise.elements))], to: latents)
      let result = try CommandResult(
        "fewstep",
        [
          "generate", Self.prompt, "--steps", "2", "--latents", latents.path, "--save-latents", "out.safetensors",
          "--json",
        ], in: folder)
      #expect(result.status == 0)
      let saved = try SafetensorsFile(url: folder.appending(path: "out.safetensors"))
      #expect(try saved.entry("latents").shape == [1, 4, 16, 16])
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      #expect(report["files"] as? [String] == ["fewstep.png"])
      #expect(report["steps"] as? Int == 2)
      // The same latents give the same image as the library does.
      let again = try CommandResult(
        "fewstep", ["generate", Self.prompt, "--steps", "2", "--latents", latents.path, "--output", "b.png"],
        in: folder)
      #expect(again.status == 0)
      let images = try ["fewstep.png", "b.png"].map { try Image(png: Data(contentsOf: folder.appending(path: $0))) }
      #expect(images[0] == images[1])
    }
  }

  @Test(
    arguments: [
      (["--solver", "nope"], "no solver is named \"nope\""),
      (["--solver", "dmp++2m"], "no solver is named \"dmp++2m\"; did you mean dpm++2m"),
      (["--grid", "nope"], "no grid is named \"nope\""),
      (["--steps", "0"], "0 steps: expected 1 to 1000"),
      (["--steps", "99999999999999999999"], "invalid for '--steps"),
      (["--size", "33x64"], "the size is 33x64, expected multiples of 4"),
      (["--size", "64"], "invalid for '--size"),
      (["--count", "0"], "the count is 0"),
      (["--guidance", "-1"], "the guidance scale is -1.0"),
      (["--guidance", "inf"], "the guidance scale is inf"),
      (["--output", "picture.jpg"], "does not end in .png"),
      (["--output", "no/such/folder/a.png"], "no/such/folder"),
      (["--model", "no-such-folder"], "no-such-folder/model_index.json"),
      (["--latents", "no-such-file"], "no-such-file"),
      (["--image", "no-such-file"], "no-such-file: No such file or directory"),
      (["--image", #filePath], "GenerateTests.swift: the PNG file could not be read"),
      (["--prompts", "no-such-file"], "no-such-file: No such file or directory"),
      (["--solver", "flow-euler", "--grid", "uniform-lambda"], "the grid is spaced in lambda"),
    ])
  func badInputIsOneClearLine(_ options: [String], _ message: String) throws {
    try withTemporaryFolder { folder in
      let result = try CommandResult("fewstep", ["generate", "red A", "--steps", "2"] + options, in: folder)
      #expect(result.status != 0)
      #expect(result.output.isEmpty)
      let line = try #require(result.errors.split(separator: "\n").first { $0.hasPrefix("Error: ") })
      #expect(line.contains(message))
      #expect(try contents(of: folder).isEmpty)
    }
  }
}
