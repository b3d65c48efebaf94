import Fewstep
import Foundation
import Glyphs
import Synchronization
import Testing

@Suite("Text to image")
struct PipelineTests {
  static let prompt = "a blue digit 7 on black, sans"

  static func pipeline() throws -> TextToImagePipeline { try TextToImagePipeline(Glyphs.epsilon()) }

  @Test func eventsComeInOrder() async throws {
    let text = Array(repeating: "red", count: 40).joined(separator: " ")
    var steps: [Int] = []
    var images: [Int] = []
    var truncations = 0
    for try await event in try Self.pipeline().events(of: GenerationRequest(text, steps: 3, count: 2)) {
      switch event {
      case .truncated(let prompt, let discarded):
        #expect(prompt == text && discarded.hasPrefix("red"))
        truncations += 1
      case .step(let progress, let range):
        #expect(range == 0..<2 && progress.states.count == 2 && images.isEmpty)
        steps.append(progress.step)
      case .image(let image): images.append(image.index)
      }
    }
    #expect(truncations == 1 && steps == [1, 2, 3] && images == [0, 1])
  }

  /// Alone and in batches of 2, 3 and 8, the branches of guidance doubling them.
  @Test(arguments: Precision.allCases) func batchesDoNotChangeImages(_ precision: Precision) async throws {
    var pipeline = try TextToImagePipeline(Glyphs.epsilon(), precision: precision)
    let request = GenerationRequest(Self.prompt, solver: "ddpm", steps: 3, seed: 4, count: 8)
    let together = try await pipeline.generate(request)
    for batchSize in [1, 2, 3] {
      pipeline.batchSize = batchSize
      let apart = try await pipeline.generate(request)
      #expect(together.map(\.latents) == apart.map(\.latents))
      #expect(together.map(\.image) == apart.map(\.image))
    }
  }

  /// Merging nothing is no merging; an image with merged tokens does not depend on its neighbours.
  @Test func tokensAreMerged() async throws {
    var pipeline = try Self.pipeline()
    var request = GenerationRequest(Self.prompt, steps: 3, seed: 4, count: 3)
    let plain = try await pipeline.generate(request)
    request.tokenMerging = 0
    #expect(try await pipeline.generate(request).map(\.latents) == plain.map(\.latents))
    request.tokenMerging = 0.5
    let merged = try await pipeline.generate(request)
    #expect(merged.map(\.latents) != plain.map(\.latents))
    pipeline.batchSize = 1
    #expect(try await pipeline.generate(request).map(\.latents) == merged.map(\.latents))
    for share in [-0.1, 0.8, .nan] {
      request.tokenMerging = share
      let refused = request
      await #expect(throws: PipelineError.self) { try await pipeline.generate(refused) }
    }
  }

  /// Calibration sees the whole trajectory, with the prompt and without, and never more than asked for.
  @Test func calibrationCoversTrajectories() async throws {
    let pipeline = try Self.pipeline()
    let prompts = [Self.prompt, "a red letter A on white"]
    let all = try await pipeline.calibrationSamples(prompts: prompts, steps: 4, limit: 100)
    #expect(all.count == 16 && Set(all.map(\.timestep)).count == 4)
    let some = try await pipeline.calibrationSamples(prompts: prompts, steps: 4, limit: 6)
    #expect(some.count <= 6 && some.count > 3 && Set(some.map(\.timestep)).count > 2)
  }

  /// What a pipeline's tensors take is known beforehand, less for fewer bits and smaller batches.
  @Test func memoryIsKnownBeforehand() async throws {
    var request = GenerationRequest(Self.prompt, steps: 1, count: 8)
    var pipelines = try Precision.allCases.map { try TextToImagePipeline(Glyphs.epsilon(), precision: $0) }
    let estimates = try pipelines.map { try $0.memory(for: request) }
    #expect(estimates[1].weights < estimates[0].weights * 11 / 20)
    #expect(estimates[2].weights < estimates[0].weights * 11 / 20)
    #expect(estimates[3].weights < estimates[0].weights * 8 / 20)
    pipelines[0].batchSize = 1
    // Else less memory than both stages take at once is no reason to refuse.
    pipelines[0].overlapsDecoding = false
    let single = try pipelines[0].memory(for: request)
    #expect(single.weights == estimates[0].weights && single.denoising < estimates[0].denoising / 2)
    request.memoryLimit = single.peak
    _ = try await pipelines[0].generate(request)
    request.memoryLimit = single.peak - 1
    let limited = request
    await #expect(throws: PipelineError.insufficientMemory(needed: single.peak, limit: single.peak - 1)) {
      try await pipelines[0].generate(limited)
    }
  }

  /// Nobody knows where an adaptive run will evaluate: all branches of guidance are counted, and their prompts checked.
  @Test func adaptiveRunsCountAllBranches() async throws {
    let pipeline = try Self.pipeline()
    func request(_ guidance: any Guidance) -> GenerationRequest {
      GenerationRequest(Self.prompt, solver: "dpm++-adaptive-23", count: 2, guidance: guidance)
    }
    let free = try ClassifierFreeGuidance(scale: 3)
    let memory = try pipeline.memory(for: request(free)).denoising
    #expect(try memory > pipeline.memory(for: request(Unguided())).denoising)
    #expect(try memory == pipeline.memory(for: request(IntervalGuidance(free, lower: 0.5, upper: 2))).denoising)
    await #expect(throws: PipelineError.self) {
      try await pipeline.generate(
        request(try IntervalGuidance(ComposedGuidance(weights: [1, 2]), lower: 0.5, upper: 2))
      ) { _ in Issue.record("something was computed") }
    }
  }

  /// The steps are as many whatever the strength; the less noise, the more of the image is left.
  @Test func imagesAreStartedFrom() async throws {
    let pipeline = try Self.pipeline()
    let original = try await pipeline.generate(GenerationRequest(Self.prompt, steps: 8))[0]
    var errors: [Double] = []
    for strength in [0.02, 0.4, 1] {
      var request = GenerationRequest(
        "a red letter A on white", solver: "dpm++2m", steps: 5, seed: 9, image: original.image, strength: strength)
      #expect(try pipeline.sampler(for: request).stepCount == 5)
      let result = try await pipeline.generate(request)[0]
      #expect(result.latents.shape == original.latents.shape)
      errors.append(
        zip(result.image.pixels, original.image.pixels).reduce(0) { $0 + abs(Double($1.0) - Double($1.1)) }
          / Double(original.image.pixels.count))
      request.size = (original.image.width * 2, original.image.height)
      await #expect(throws: PipelineError.self) { try await pipeline.generate(request) }
    }
    print("mean change of a pixel from strengths 0.02, 0.4 and 1: \(errors)")
    #expect(errors[0] < errors[1] && errors[1] < errors[2])
  }

  @Test func tasksShareAPipeline() async throws {
    let pipeline = try Self.pipeline()
    let request = GenerationRequest(Self.prompt, solver: "dpm++2m", steps: 3, seed: 4)
    let expected = try await pipeline.generate(request)[0].image
    try await withThrowingTaskGroup(of: Image.self) { group in
      for _ in 0..<8 { group.addTask { try await pipeline.generate(request)[0].image } }
      for try await image in group { #expect(image == expected) }
    }
  }

  @Test func aDefaultNegativePromptStandsForAnEmptyOne() async throws {
    var pipeline = try Self.pipeline()
    let request = GenerationRequest(Self.prompt, steps: 2)
    let plain = try await pipeline.generate(request)[0].image
    var explicit = request
    explicit.negativePrompt = "blurry"
    let expected = try await pipeline.generate(explicit)[0].image
    pipeline.defaultNegativePrompt = "blurry"
    #expect(try await pipeline.generate(request)[0].image == expected)
    #expect(plain != expected)
    explicit.negativePrompt = "noisy"
    #expect(try await pipeline.generate(explicit)[0].image != expected)
  }

  @Test func cancellationStopsWithinOneEvaluation() async throws {
    let pipeline = try Self.pipeline()
    let steps = Mutex(0)
    let task = Task {
      try await pipeline.generate(GenerationRequest(Self.prompt, solver: "ddim", steps: 100)) { event in
        guard case .step(let progress, _) = event else { return }
        steps.withLock { $0 = progress.step }
        if progress.step == 2 { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(steps.withLock { $0 } == 2)
  }

  /// One evaluation may be under way, and its step's next may have begun.
  @Test func whoStopsListeningStopsTheRun() async throws {
    let evaluations = CountingGuidance.Counter()
    let request = GenerationRequest(
      Self.prompt, solver: "ddim", steps: 1000, guidance: CountingGuidance(counter: evaluations))
    for try await event in try Self.pipeline().events(of: request) {
      if case .step = event { break }
    }
    let atBreak = evaluations.value
    var settled = -1
    while settled != evaluations.value {
      settled = evaluations.value
      try await Task.sleep(for: .milliseconds(300))
    }
    #expect(atBreak > 0 && settled <= atBreak + 2, "\(settled) evaluations, \(atBreak) when listening stopped")
  }

  @Test func impossibleRequestsAreErrors() async throws {
    let pipeline = try Self.pipeline()
    for (width, height) in [(0, 64), (-4, 64), (62, 64), (64, 1 << 20)] {
      await #expect(throws: PipelineError.self) {
        try await pipeline.generate(GenerationRequest("x", steps: 1, size: (width, height)))
      }
    }
    await #expect(throws: PipelineError.self) { try await pipeline.generate(GenerationRequest("x", count: 0)) }
    await #expect(throws: PipelineError.self) {
      try await pipeline.generate(GenerationRequest("x", latents: DenseTensor(zeros: [1, 4, 16, 16])))
    }
    await #expect(throws: SamplingError.self) {
      try await pipeline.generate(GenerationRequest("x", solver: "flow-euler"))
    }
    await #expect(throws: SamplingError.self) {
      try await pipeline.generate(GenerationRequest("x", guidanceScale: .nan))
    }
    await #expect(throws: PipelineError.self) {
      try await pipeline.generate(GenerationRequest("x", guidance: try ComposedGuidance(weights: [1, 2])))
    }
    await #expect(throws: UnknownLayerError.self) {
      try await pipeline.generate(GenerationRequest("x", guidance: try Unguided().perturbedAttention(layers: ["y"])))
    }
  }

  @Test func otherSizesAreGenerated() async throws {
    let request = GenerationRequest(Self.prompt, steps: 2, size: (width: 40, height: 92))
    let image = try await Self.pipeline().generate(request)[0]
    #expect((image.image.width, image.image.height) == (40, 92) && image.latents.shape == [23, 10, 4])
    #expect(image.pixels.rootMeanSquare().isFinite)
  }
}

/// No guidance, which counts how often it is asked.
private struct CountingGuidance: Guidance {
  final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }
    func increment() { count.withLock { $0 += 1 } }
  }

  let counter: Counter

  var allBranches: [GuidanceBranch] { [.conditional] }

  func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    counter.increment()
    return outputs[.conditional]
  }
}
