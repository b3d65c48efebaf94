import Fewstep
import Foundation
import Glyphs
import Synchronization
import Testing

@Suite("Many requests")
struct ManyRequestsTests {
  static let prompts = [
    "a blue digit 7 on black, sans", "a bold red letter A on a white background, serif", "a white digit 7 on blue",
  ]

  static func pipeline(_ precision: Precision = .float32, batchSize: Int) throws -> TextToImagePipeline {
    var pipeline = try TextToImagePipeline(Glyphs.epsilon(), precision: precision)
    pipeline.batchSize = batchSize
    return pipeline
  }

  /// Different in everything that may differ within a batch, and some in what may not.
  static var requests: [GenerationRequest] {
    var requests = Self.prompts.enumerated().map { number, prompt in
      GenerationRequest(prompt, solver: "ddpm", steps: 3, seed: UInt64(number), count: 2)
    }
    requests[1].negativePrompt = "blurry"
    requests.append(GenerationRequest(Self.prompts[0], solver: "ddim", steps: 4, guidanceScale: 2, seed: 9))
    requests.append(GenerationRequest(Self.prompts[2], solver: "ddpm", steps: 3, seed: 7, size: (40, 72)))
    requests.append(GenerationRequest(Self.prompts[1], solver: "ddpm", steps: 3, seed: 8))
    return requests
  }

  /// Batches of 1, 3 and 8, of one request or several, decoded beside the next batch or after it: the same bits as each
  /// request by itself.
  @Test(arguments: [Precision.float32, .half, .int8]) func imagesAreThoseOfEachRequestAlone(
    _ precision: Precision
  ) async throws {
    var expected: [[Image]] = []
    let alone = try Self.pipeline(precision, batchSize: 1)
    for request in Self.requests { expected.append(try await alone.generate(request).map(\.image)) }
    for (batchSize, overlaps) in [(1, true), (3, true), (3, false), (8, true)] {
      var pipeline = alone
      pipeline.batchSize = batchSize
      pipeline.overlapsDecoding = overlaps
      let results = try await pipeline.generate(Self.requests)
      #expect(results.map { $0.map(\.image) } == expected, "batches of \(batchSize)")
      #expect(results.map { $0.map(\.index) } == expected.map { Array($0.indices) })
      for (number, images) in results.enumerated() { #expect(images.allSatisfy { $0.request == number }) }
    }
  }

  @Test func noRequestsAreNoImages() async throws {
    #expect(try await Self.pipeline(batchSize: 2).generate([GenerationRequest]()).isEmpty)
  }

  /// Requests that agree fill batches together: six images in two batches of four at most, not in three of two.
  @Test func requestsShareBatches() async throws {
    let requests = Self.prompts.map { GenerationRequest($0, steps: 2, count: 2) }
    var batches: [Range<Int>] = []
    _ = try await Self.pipeline(batchSize: 4).generate(requests) { event in
      if case .step(_, let images) = event, batches.last != images { batches.append(images) }
    }
    #expect(batches == [0..<4, 4..<6])
  }

  /// Those with equal guidances of their own, too, each with the prompts that it needs.
  @Test func guidancesShareBatches() async throws {
    let free = try ClassifierFreeGuidance(scale: 4)
    let guidances: [any Guidance] = [
      try RescaledGuidance(free, share: 0.5), try AdaptiveProjectedGuidance(scale: 4),
      try free.perturbedAttention(interval: (lower: 0.5, upper: 5)), try ComposedGuidance(weights: [3, 1]),
    ]
    let pipeline = try Self.pipeline(batchSize: 4)
    for guidance in guidances {
      var requests = Self.prompts.map { GenerationRequest($0, steps: 2, count: 2, guidance: guidance) }
      for index in requests.indices { requests[index].furtherPrompts = ["blue"] }
      var batches: [Range<Int>] = []
      let together = try await pipeline.generate(requests) { event in
        if case .step(_, let images) = event, batches.last != images { batches.append(images) }
      }
      #expect(batches == [0..<4, 4..<6])
      let alone = try await pipeline.generate(requests[2])
      #expect(together[2].map(\.latents) == alone.map(\.latents))
    }
    // Every request's prompts are checked, and not those of the first in a batch alone.
    var requests = Self.prompts.map { GenerationRequest($0, steps: 2, guidance: guidances[3]) }
    for index in 0..<2 { requests[index].furtherPrompts = ["blue"] }
    let bad = requests
    await #expect(throws: PipelineError.self) {
      try await pipeline.generate(bad) { _ in Issue.record("something was computed") }
    }
  }

  @Test func imagesArriveWhileOthersAreDenoised() async throws {
    let requests = Self.prompts.map { GenerationRequest($0, steps: 40) }
    var steps = 0
    var arrivals: [Int] = []
    for try await event in try Self.pipeline(batchSize: 1).events(of: requests) {
      if case .step = event { steps += 1 }
      if case .image = event { arrivals.append(steps) }
    }
    #expect(steps == 120 && arrivals.count == 3)
    // Not before the image is done, and at the latest when the next one is.
    #expect((40...80).contains(arrivals[0]) && (80...120).contains(arrivals[1]) && arrivals[2] == 120)
  }

  @Test func aStreamHasAllImages() async throws {
    var found: [Int] = []
    let requests = Self.prompts.map { GenerationRequest($0, steps: 1, count: 2) }
    for try await image in try Self.pipeline(batchSize: 2).images(of: requests) {
      found.append(2 * image.request + image.index)
    }
    #expect(found == Array(0..<6))
  }

  @Test func cancellationStopsDecodingToo() async throws {
    let pipeline = try Self.pipeline(batchSize: 2)
    let steps = Mutex(0)
    let task = Task {
      try await pipeline.generate(Self.prompts.map { GenerationRequest($0, steps: 100, count: 2) }) { event in
        guard case .step = event else { return }
        if steps.withLock({
          $0 += 1; return $0
        }) == 102 {
          withUnsafeCurrentTask { $0?.cancel() }
        }
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(steps.withLock { $0 } == 102)
  }

  @Test func aBatchSizeOfNothingIsAnError() async throws {
    for size in [0, -1] {
      let pipeline = try Self.pipeline(batchSize: size)
      let error = PipelineError.invalidRequest(
        name: "the pipeline's batch size", found: "\(size)", expected: "1 or more")
      await #expect(throws: error) { try await pipeline.generate(Self.requests) }
      #expect(throws: error) { try pipeline.memory(for: Self.requests) }
      await #expect(throws: error) { try await pipeline.calibrationSamples(prompts: Self.prompts) }
    }
  }

  @Test func oneBadRequestStopsAllBeforeTheyBegin() async throws {
    var requests = Self.requests
    requests[2].count = 0
    let bad = requests
    await #expect(throws: PipelineError.self) {
      try await Self.pipeline(batchSize: 2).generate(bad) { _ in Issue.record("something was computed") }
    }
  }

  /// Image 1 of request 1 comes from latents that are no numbers. All others that are sampled arrive, those after it
  /// and those that were decoded beside the next batch too, and then the error, which says which it was.
  @Test(arguments: [(true, Residency.resident), (false, .resident), (true, .staged)])
  func oneUnusableImageLosesNoOther(_ overlaps: Bool, _ residency: Residency) async throws {
    var pipeline = try TextToImagePipeline(Glyphs.epsilon(), residency: residency)
    pipeline.batchSize = 4
    pipeline.overlapsDecoding = overlaps
    let shape = try pipeline.latentShape(size: nil)
    var latents = (0..<3 * shape.count).map { Float($0 % 7) / 7 }
    latents[shape.count + 5] = .nan
    var requests = [Self.prompts[0], Self.prompts[1], Self.prompts[2]].map { GenerationRequest($0, steps: 1) }
    requests[1].count = 3
    requests[1].latents = DenseTensor(latents, shape: Shape([3] + shape.dimensions))
    requests[2].guidanceScale = 2  // a batch of its own, last
    requests[2].steps = 20
    let sent = requests
    var found: Set<[Int]> = []
    await #expect(throws: PipelineError.unusableImage(request: 1, index: 1, flaw: .notFinite)) {
      try await pipeline.generate(sent) { event in
        if case .image(let image) = event { found.insert([image.request, image.index]) }
      }
    }
    let sampled: Set = [[0, 0], [1, 0], [1, 2]]
    // Staged networks wait until all is sampled.
    #expect(found == (residency == .staged ? sampled.union([[2, 0]]) : sampled))
  }

  /// What decoding beside denoising takes more is counted, and not taken where the limit forbids it.
  @Test(.enabled(if: ThreadPool.threadCount > 1)) func memoryOfOverlapIsKnown() async throws {
    var pipeline = try Self.pipeline(batchSize: 2)
    var requests = Self.prompts.map { GenerationRequest($0, steps: 1) }
    let both = try pipeline.memory(for: requests)
    #expect(both.overlaps && both.peak == both.weights + both.denoising + both.decoding)
    #expect(try !pipeline.memory(for: Array(requests[..<2])).overlaps)
    for index in requests.indices { requests[index].memoryLimit = both.peak - 1 }
    let limited = try pipeline.memory(for: requests)
    #expect(!limited.overlaps && limited.peak == limited.weights + max(limited.denoising, limited.decoding))
    _ = try await pipeline.generate(requests)
    pipeline.overlapsDecoding = false
    #expect(try pipeline.memory(for: requests) == limited)
  }
}
