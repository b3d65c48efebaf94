import Fewstep
import Foundation
import Glyphs
import Testing

@Suite(.serialized) struct ModelQuantizerTests {
  private func withFolder(_ body: (URL) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder)
  }

  private func quantizer(_ format: StorageFormat, threshold: Double? = nil) -> ModelQuantizer {
    var quantizer = ModelQuantizer(format, threshold: threshold)
    quantizer.gate.template.steps = 4
    quantizer.gate.prompts = Array(quantizer.gate.prompts.prefix(2))
    return quantizer
  }

  @Test(arguments: StorageFormat.allCases) func foldersLoadLikeAnyOther(_ format: StorageFormat) async throws {
    try await withFolder { folder in
      let url = folder.appending(path: "model", directoryHint: .isDirectory)
      var quantizer = quantizer(format)
      if format == .q4 { quantizer.gate.requiredPSNR = 10 }
      let report = try await quantizer.quantize(Glyphs.epsilon(), to: url)
      let remains = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      #expect(remains == ["model"])
      let pipeline = try TextToImagePipeline(ModelFolder(url: url))
      #expect(pipeline.precision == Precision(format))
      #expect(try report.layers.map(\.name) == pipeline.denoiser.layers.map(\.name))
      #expect(report.isGood && report.images == 2)
      let (unquantized, least): ([String], Double) =
        switch format {
        case .float16: (["fp16"], 60)
        case .bfloat16: (["fp16", "bf16"], 45)
        case .int8, .int8Weights, .q8: (["fp16", "bf16"], 38)
        case .q4: (["fp16", "bf16"], 16)
        }
      for layer in report.layers {
        #expect(layer.format == format.rawValue || unquantized.contains(layer.format))
        #expect(layer.weightRatio > least, "\(layer)")
        #expect(layer.refusedRatio.map { $0 < report.threshold } ?? true)
        if layer.format == format.rawValue, let ratio = layer.outputRatio, format != .float16, format != .bfloat16 {
          #expect(ratio >= report.threshold, "\(layer)")
        }
      }
      // What is computed with is what was stored.
      if format == .int8 {
        let types = try Set(pipeline.denoiser.layers.filter { $0.format == .int8 }.map(\.name))
        #expect(types == Set(report.layers.filter { $0.format == "int8" }.map(\.name)) && !types.isEmpty)
      }
    }
  }

  @Test func layersBelowTheThresholdStayInBFloat16() async throws {
    try await withFolder { folder in
      let url = folder.appending(path: "model")
      let report = try await quantizer(.int8, threshold: 1000).quantize(Glyphs.epsilon(), to: url)
      #expect(report.keptLayers.count > 50)
      #expect(report.layers.allSatisfy { $0.format == "bf16" || $0.format == "fp16" })
      let pipeline = try TextToImagePipeline(ModelFolder(url: url))
      #expect(try pipeline.denoiser.layers.filter { $0.format == .bfloat16 }.count == report.keptLayers.count)
      #expect(try pipeline.denoiser.layers.allSatisfy { $0.format != .int8 })
    }
  }

  @Test func aFormatThatFailsIsRefusedAndLeavesNothing() async throws {
    try await withFolder { folder in
      var quantizer = quantizer(.q4, threshold: 0)
      quantizer.gate.requiredPSNR = 80
      let error = await #expect(throws: QuantizationFailure.self) {
        try await quantizer.quantize(Glyphs.epsilon(), to: folder.appending(path: "model"))
      }
      #expect(error?.description.contains("q4_0 fails on this model") == true)
      let remains = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      #expect(remains.isEmpty)
    }
  }

  /// As in Hugging Face's cache, where all files are links.
  @Test func linksAreFollowed() async throws {
    try await withFolder { folder in
      let original = try Glyphs.epsilon()
      let linked = folder.appending(path: "linked", directoryHint: .isDirectory)
      let files = FileManager.default
      for path in try files.subpathsOfDirectory(atPath: original.url.path) where path.contains(".") {
        let link = linked.appending(path: path)
        try files.createDirectory(at: link.deletingLastPathComponent(), withIntermediateDirectories: true)
        try files.createSymbolicLink(at: link, withDestinationURL: original.url.appending(path: path))
      }
      var quantizer = quantizer(.float16)
      quantizer.gate.template.steps = 1
      let url = folder.appending(path: "model", directoryHint: .isDirectory)
      let report = try await quantizer.quantize(ModelFolder(url: linked), to: url)
      // Not those of the links; the bundled model's weights are halves already.
      #expect(report.originalBytes > report.bytes / 2)
      try files.removeItem(at: linked)
      let index = try files.attributesOfItem(atPath: url.appending(path: "model_index.json").path)
      #expect(index[.type] as? FileAttributeType == .typeRegular)
      #expect(try TextToImagePipeline(ModelFolder(url: url)).precision == .float16)
    }
  }

  @Test func whatIsThereIsNotOverwritten() async throws {
    try await withFolder { folder in
      let error = await #expect(throws: CheckpointError.self) {
        try await quantizer(.int8).quantize(Glyphs.epsilon(), to: folder)
      }
      #expect(error?.kind == .unwritableFile)
    }
  }

  @Test func precisionsHaveShortNames() {
    for (short, precision) in [
      ("fp32", Precision.float32), ("fp16", .float16), ("bf16", .bfloat16), ("int8", .int8), ("float16", .float16),
    ] {
      #expect(Precision(named: short) == precision)
    }
    #expect(Precision(named: "int3") == nil)
  }
}
