import Checkpoints
import Fewstep
import Foundation
import Glyphs
import Testing

/// Models whose second output is what they have learned of the variance: the bundled one, its last convolution given as
/// many more channels, which say the same whatever the image.
@Suite(.serialized) struct LearnedVarianceTests {
  private static let request = GenerationRequest(PipelineTests.prompt, solver: "ddpm", steps: 6, seed: 3, count: 2)

  /// - Parameter variance: the second output; nil for a model without.
  private static func withPipeline(
    variance: Float?, type: String, _ body: (TextToImagePipeline) async throws -> Void
  ) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let original = try Glyphs.epsilon()
    try original.copy(to: folder, withoutWeightsOf: ["unet"])
    let unet = folder.appending(path: "unet")
    let name = "diffusion_pytorch_model.safetensors"
    let store = try original.weights(component: "unet")
    let tensors = try store.names.map { name in
      var (shape, values) = try (store.entry(name).shape, store.floats(name))
      if let variance, name.hasPrefix("conv_out.") {
        let isBias = name.hasSuffix("bias")
        values += Array(repeating: isBias ? variance : 0, count: values.count)
        shape = Shape([2 * shape[0]] + shape.dimensions.dropFirst())
      }
      return SafetensorsWriter.Tensor(name: name, shape: shape, values: .float32(values))
    }
    try SafetensorsWriter.write(tensors, to: unet.appending(path: name))
    try original.writeConfiguration(
      component: "unet", setting: "out_channels", to: .number(variance == nil ? 4 : 8), in: unet)
    let scheduler = folder.appending(path: "scheduler/scheduler_config.json")
    var configuration = try JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: scheduler))
    configuration["variance_type"] = .string(type)
    try Data(JSONValue.object(configuration).json().utf8).write(to: scheduler)
    try await body(TextToImagePipeline(ModelFolder(url: folder)))
  }

  private static func latents(_ request: GenerationRequest, variance: Float?, type: String) async throws
    -> [DenseTensor<Float>]
  {
    var latents: [DenseTensor<Float>] = []
    try await withPipeline(variance: variance, type: type) {
      latents = try await $0.generate(request).map(\.latents)
    }
    return latents
  }

  /// At the ends of the range images are those of the fixed variances, with guidance and a step cache too.
  @Test(arguments: [nil, StepCache.deepCache(interval: 2), .taylor(interval: 2, order: 1)])
  func imagesAreThoseOfTheVariance(_ cache: StepCache?) async throws {
    var request = Self.request
    request.stepCache = cache
    for (value, fixed) in [(Float(-1), "fixed_small"), (1, "fixed_large")] {
      let learned = try await Self.latents(request, variance: value, type: "learned_range")
      let expected = try await Self.latents(request, variance: nil, type: fixed)
      for (one, other) in zip(learned, expected) { #expect(one.relativeError(to: other) < 1e-5, "\(fixed)") }
      #expect(learned[0] != learned[1])
    }
  }

  /// Solvers that have no use for the variance leave it.
  @Test func otherSolversLeaveIt() async throws {
    var request = Self.request
    request.solver = "dpm++2m"
    let learned = try await Self.latents(request, variance: .nan, type: "learned_range")
    let expected = try await Self.latents(request, variance: nil, type: "fixed_small")
    for (one, other) in zip(learned, expected) { #expect(one.relativeError(to: other) < 1e-5) }
  }

  @Test func aModelWithoutIsRefused() async throws {
    try await Self.withPipeline(variance: nil, type: "learned_range") { pipeline in
      let error = await #expect(throws: SamplingError.self) { try await pipeline.generate(Self.request) }
      #expect(error?.description.contains("second output") ?? false)
      await #expect(
        throws: PipelineError.invalidRequest(
          name: "the variance", found: "read from a model without a second output",
          expected: "a model that has learned it")
      ) { try await Self.runPlan(with: pipeline) }
    }
  }

  /// The plan that a request makes, run with the denoiser alone.
  private static func runPlan(with pipeline: TextToImagePipeline) async throws -> [DenseTensor<Float>] {
    let request = request
    let plan = try pipeline.scheduler.plan(SolverCatalogue.entry(named: "ddpm"), steps: request.steps)
    #expect(plan.readsVariance)
    let embeddings = try pipeline.promptEncoder([request.negativePrompt, request.prompt])
    let prompts = try TextToImagePipeline.Prompts(
      pipeline.denoiser, positive: [embeddings[1]], negative: [embeddings[0]])
    return try await plan.run(
      fields: (0..<UInt32(request.count)).map { NoiseField(seed: request.seed, image: $0) },
      shape: pipeline.latentShape(size: nil), guidance: ClassifierFreeGuidance(scale: request.guidanceScale),
      denoise: { try pipeline.denoise($0, prompts: [prompts], readsVariance: plan.readsVariance) })
  }

  @Test func aPlanOfItsOwnReadsItToo() async throws {
    try await Self.withPipeline(variance: 1, type: "learned_range") { pipeline in
      let expected = try await pipeline.generate(Self.request).map(\.latents)
      #expect(try await Self.runPlan(with: pipeline) == expected)
    }
  }
}
