import Fewstep
import Glyphs
import Testing

@testable import Pipelines

/// Networks that are in memory only while they are needed.
@Suite struct ResidencyTests {
  private static let requests = [
    GenerationRequest(PipelineTests.prompt, steps: 2, seed: 3, count: 3),
    GenerationRequest("a red letter A on white", negativePrompt: "blue", solver: "euler-ancestral", steps: 2),
  ]

  private static func pipeline(_ residency: Residency, _ precision: Precision = .float32) throws -> TextToImagePipeline
  {
    var pipeline = try TextToImagePipeline(Glyphs.epsilon(), precision: precision, residency: residency)
    pipeline.batchSize = 2
    return pipeline
  }

  @Test(arguments: Precision.allCases) func imagesAreTheSameBits(_ precision: Precision) async throws {
    let resident = try await Self.pipeline(.resident, precision).generate(Self.requests)
    let pipeline = try Self.pipeline(.staged, precision)
    for _ in 0..<2 {
      let staged = try await pipeline.generate(Self.requests)
      #expect(staged.map(\.count) == [3, 1])
      for (one, other) in zip(staged.joined(), resident.joined()) {
        #expect(one.latents == other.latents && one.image == other.image && one.request == other.request)
        #expect(one.index == other.index && one.sampling?.evaluations == other.sampling?.evaluations)
      }
    }
    // Four texts, of which the second run finds all in the cache.
    #expect(pipeline.promptEncoder.evaluationCount == 4)
  }

  @Test func anImageToStartFromIsEncoded() async throws {
    let resident = try Self.pipeline(.resident)
    let original = try await resident.generate(GenerationRequest(PipelineTests.prompt, steps: 2))[0].image
    let request = GenerationRequest("a red letter A on white", steps: 2, image: original, strength: 0.5)
    let staged = try await Self.pipeline(.staged).generate(request)
    #expect(try await resident.generate(request).map(\.latents) == staged.map(\.latents))
  }

  @Test func tasksAtOnceShareNetworks() async throws {
    let pipeline = try Self.pipeline(.staged)
    let reference = try await pipeline.generate(Self.requests[0]).map(\.latents)
    try await withThrowingTaskGroup(of: [DenseTensor<Float>].self) { group in
      for _ in 0..<4 { group.addTask { try await pipeline.generate(Self.requests[0]).map(\.latents) } }
      for try await latents in group { #expect(latents == reference) }
    }
    let hold = try pipeline.denoiserSlot.hold()
    #expect(try pipeline.denoiserSlot.hold() === hold)
  }

  /// Branches one by one are the same bits as side by side, in less memory.
  @Test(arguments: Precision.allCases) func branchesOneByOne(_ precision: Precision) async throws {
    var pipeline = try Self.pipeline(.resident, precision)
    let together = try await pipeline.generate(Self.requests)
    let memory = try pipeline.memory(for: Self.requests).denoising
    for size in [1, 3] {
      pipeline.evaluationSize = size
      #expect(try pipeline.memory(for: Self.requests).denoising < memory)
      let apart = try await pipeline.generate(Self.requests)
      #expect(zip(apart.joined(), together.joined()).allSatisfy { $0.latents == $1.latents })
    }
  }

  /// What the estimate has rehearsed, the run need not.
  @Test func theRunUsesTheEstimatesPlans() async throws {
    for size in [nil, 1] {
      var pipeline = try Self.pipeline(.resident)
      pipeline.evaluationSize = size
      let request = Self.requests[1]
      let estimate = try pipeline.memory(for: request)
      #expect(estimate.denoising > 0 && pipeline.plans.count == 2)
      _ = try await pipeline.generate(request)
      #expect(pipeline.plans.count == 2)
    }
  }

  /// Planning with a step cache needs no weights either, and running with one finds them.
  @Test(arguments: StepCacheTests.caches) func stepCachesArePlannedWithoutWeights(_ cache: StepCache) async throws {
    let resident = try Self.pipeline(.resident)
    let staged = try Self.pipeline(.staged)
    var request = GenerationRequest(PipelineTests.prompt, solver: "ddim", steps: 6, seed: 3, count: 3)
    request.stepCache = cache
    for residency in Residency.allCases {
      let planned = try staged.memory(for: request, residency: residency)
      #expect(try planned == resident.memory(for: request, residency: residency))
      #expect(planned.denoising > 0)
    }
    let images = try await staged.generate(request)
    #expect(try await images.map(\.latents) == resident.generate(request).map(\.latents))
  }

  /// Nothing but the newest stage is held, and an outline has all that planning needs.
  @Test(arguments: Precision.allCases) func memoryIsThatOfTheLargestStage(_ precision: Precision) async throws {
    let resident = try Self.pipeline(.resident, precision)
    let staged = try Self.pipeline(.staged, precision)
    var request = Self.requests[0]
    let whole = try resident.memory(for: request, residency: .staged)
    let planned = try staged.memory(for: request)
    #expect(planned == whole)
    let networks = try [
      resident.promptEncoder.model.weightBytes, resident.denoiser.weightBytes, resident.autoencoder.weightBytes,
    ]
    #expect(planned.weights == networks.reduce(0, +))
    #expect(planned.peak < (try resident.memory(for: request).peak))
    #expect(planned.peak >= networks[1] + planned.denoising && planned.peak >= networks[2] + planned.decoding)

    request.memoryLimit = planned.peak
    _ = try await staged.generate(request)
    request.memoryLimit = planned.peak - 1
    let limited = request
    await #expect(throws: PipelineError.insufficientMemory(needed: planned.peak, limit: planned.peak - 1)) {
      try await staged.generate(limited)
    }
  }
}
