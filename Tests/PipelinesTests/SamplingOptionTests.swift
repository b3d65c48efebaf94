import Checkpoints
import DenseTensors
import Foundation
import Glyphs
import Pipelines
import Sampling
import Tensors
import Testing

/// What a request can ask for beyond steps and a scale.
@Suite("Sampling options of a request")
struct SamplingOptionTests {
  static let prompt = "a blue digit 7 on black, sans"

  static func pipeline() throws -> TextToImagePipeline { try TextToImagePipeline(Glyphs.epsilon()) }

  /// An adaptive solver keeps each image's steps to itself, and its budget.
  @Test func adaptiveSolvers() async throws {
    let pipeline = try Self.pipeline()
    var request = GenerationRequest(Self.prompt, solver: "dpm++-adaptive-23", guidanceScale: 4, seed: 3, count: 3)
    request.tolerance = 0.05
    let together = try await pipeline.generate(request)
    var (alone, counts) = (request, Set<Int>())
    alone.count = 1
    #expect(try await pipeline.generate(alone)[0].latents == together[0].latents)
    for image in together {
      let sampling = try #require(image.sampling)
      counts.insert(sampling.evaluations)
      // Two branches each.
      #expect(sampling.evaluations % 2 == 0 && sampling.evaluations / 2 <= request.maximumEvaluations)
    }
    request.maximumEvaluations = 7
    for image in try await pipeline.generate(request) { #expect(try #require(image.sampling).evaluations <= 14) }
    print("adaptive: evaluations \(counts.sorted())")
    request.tolerance = -1
    await #expect(throws: SamplingError.self) { try await pipeline.generate(request) }
    var flow = request
    flow.solver = "flow-bogacki-shampine"
    await #expect(throws: SamplingError.self) { try await pipeline.generate(flow) }
  }

  /// The starting noise of a torch seed, by way of a run of one step that keeps it: DDIM is linear in it.
  @Test func torchNoise() async throws {
    let pipeline = try Self.pipeline()
    var request = GenerationRequest(Self.prompt, solver: "ddim", steps: 3, guidanceScale: 1, seed: 7, count: 2)
    request.noise = .torch
    let images = try await pipeline.generate(request)
    let noise = TorchNoise(.shared(seed: 7, batch: 2))
    let shape = try pipeline.latentShape(size: nil)
    let latents = DenseTensor<Float>.stacking(
      (0..<2).map { DenseTensor(noise.channelsLast(draw: 0, image: $0, shape: shape), shape: shape) })
    let given = GenerationRequest(
      Self.prompt, solver: "ddim", steps: 3, guidanceScale: 1, count: 2, latents: latents)
    let expected = try await pipeline.generate(given)
    #expect(images.map(\.latents) == expected.map(\.latents))
  }

  /// A UNet makes no tokens of an image for a shift to go by; a shift that is given needs none, and steps that a
  /// tolerance chooses have no grid.
  @Test func shiftsOfTokensAreRefused() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try Glyphs.flow().copy(to: folder, withoutWeightsOf: [])
    try Data(#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}"#.utf8)
      .write(to: folder.appending(path: "scheduler/scheduler_config.json"))
    let pipeline = try TextToImagePipeline(ModelFolder(url: folder))
    var request = GenerationRequest(Self.prompt, steps: 2, seed: 1)
    let error = SamplingError.invalidOption(
      name: "the shift", found: "that of a number of tokens (use_dynamic_shifting)",
      expected: "a number: a UNet has no tokens")
    await #expect(throws: error) { try await pipeline.generate(request) }
    await #expect(throws: error) { try await pipeline.calibrationSamples(prompts: [Self.prompt], steps: 2) }
    request.shift = 2
    #expect(try await pipeline.generate(request).count == 1)
    (request.shift, request.solver) = (nil, "flow-bogacki-shampine")
    #expect(try await pipeline.generate(request).count == 1)
  }

  @Test func evaluationsAreCounted() async throws {
    let pipeline = try Self.pipeline()
    func evaluations(_ guidance: any Guidance) async throws -> Int {
      let request = GenerationRequest(Self.prompt, solver: "dpm++2m", steps: 6, guidance: guidance)
      return try #require(try await pipeline.generate(request)[0].sampling).evaluations
    }
    let base = try ClassifierFreeGuidance(scale: 4)
    #expect(try await evaluations(base) == 12)
    #expect(try await evaluations(ClassifierFreeGuidance(scale: 1)) == 6)
    #expect(try await evaluations(base.perturbedAttention()) == 18)
    let limited = try await evaluations(IntervalGuidance(base, lower: 0.5, upper: 3))
    #expect((7..<12).contains(limited))
  }

  /// Perturbed requests share batches with plain ones and change no other image.
  @Test func disturbedModels() async throws {
    let pipeline = try Self.pipeline()
    let base = try ClassifierFreeGuidance(scale: 3)
    for guidance: any Guidance in try [
      base.perturbedAttention(), base.smoothedEnergy(), base.skippingLayers(["mid_block"]),
    ] {
      let request = GenerationRequest(
        Self.prompt, solver: "dpm++2m", steps: 3, seed: 2, count: 2, guidance: guidance)
      let images = try await pipeline.generate(request)
      var alone = request
      alone.count = 1
      #expect(try await pipeline.generate(alone)[0].latents == images[0].latents)
    }
    await #expect(throws: (any Error).self) {
      try await pipeline.generate(
        GenerationRequest(Self.prompt, steps: 2, guidance: base.skippingLayers(["no_such_block"])))
    }
    await #expect(throws: PipelineError.self) {
      try await pipeline.generate(GenerationRequest(Self.prompt, steps: 2, guidance: Autoguidance(scale: 2)))
    }
  }

  /// "AND": the guidance of two prompts added; a prompt that the request does not have is refused.
  @Test func composedPrompts() async throws {
    let pipeline = try Self.pipeline()
    var request = GenerationRequest(
      "a red letter A", solver: "dpm++2m", steps: 3, guidance: try ComposedGuidance(weights: [2, 2]))
    await #expect(throws: PipelineError.self) { try await pipeline.generate(request) }
    request.furtherPrompts = ["a red letter A"]
    let twice = try await pipeline.generate(request)[0]
    let once = try await pipeline.generate(
      GenerationRequest("a red letter A", solver: "dpm++2m", steps: 3, guidanceScale: 4))[0]
    #expect(twice.latents.relativeError(to: once.latents) < 1e-4)
    #expect(twice.sampling?.evaluations == 9)
  }
}
