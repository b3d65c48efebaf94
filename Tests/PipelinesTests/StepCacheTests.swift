import Fewstep
import Glyphs
import Testing

@testable import Pipelines

@Suite("Step caches")
struct StepCacheTests {
  static let caches: [StepCache] = [
    .deepCache(interval: 3), .deepCache(interval: 2, depth: 1, order: 1), .firstBlock(threshold: 0.1),
    .firstBlock(threshold: 0.3, depth: 3, order: 1), .taylor(interval: 2), .taylor(interval: 3, order: 1),
  ]

  private func request(_ cache: StepCache?, steps: Int = 12) -> GenerationRequest {
    var request = GenerationRequest(PipelineTests.prompt, solver: "ddim", steps: steps, seed: 4, count: 5)
    request.stepCache = cache
    return request
  }

  /// Alone and in batches; for caches that decide by what an image looks like as well.
  @Test(arguments: caches) func batchesDoNotChangeImages(_ cache: StepCache) async throws {
    var pipeline = try PipelineTests.pipeline()
    let together = try await pipeline.generate(request(cache))
    for batchSize in [1, 2] {
      pipeline.batchSize = batchSize
      let apart = try await pipeline.generate(request(cache))
      #expect(together.map(\.latents) == apart.map(\.latents))
      #expect(together.map(\.stepCacheCounts) == apart.map(\.stepCacheCounts))
    }
  }

  /// Caches that never take anything over change no bit; the others do, and stay near.
  @Test func whatIsNotSavedIsExact() async throws {
    let pipeline = try PipelineTests.pipeline()
    let plain = try await pipeline.generate(request(nil))
    #expect(plain[0].stepCacheCounts == nil)
    for cache in [StepCache.deepCache(interval: 1), .firstBlock(threshold: 0), .taylor(interval: 1)] {
      let images = try await pipeline.generate(request(cache))
      #expect(images.map(\.latents) == plain.map(\.latents))
      #expect(images.allSatisfy { $0.stepCacheCounts == StepCacheCounts(full: 24) })
    }
    for cache in Self.caches {
      let images = try await pipeline.generate(request(cache))
      for (image, other) in zip(images, plain) {
        let counts = try #require(image.stepCacheCounts)
        #expect((image.latents == other.latents) == (counts.saved == 0))
        #expect(image.image.psnr(to: other.image) > 15)
      }
    }
  }

  /// Two branches at each of 12 steps.
  @Test func savingsAreCounted() async throws {
    let pipeline = try PipelineTests.pipeline()
    let deep = try await pipeline.generate(request(.deepCache(interval: 3)))
    #expect(deep.allSatisfy { $0.stepCacheCounts == StepCacheCounts(full: 8, partial: 16) })
    // Steps 1 to 3 are full, and then each second one.
    let taylor = try await pipeline.generate(request(.taylor(interval: 2)))
    #expect(taylor.allSatisfy { $0.stepCacheCounts == StepCacheCounts(full: 14, skipped: 10) })
    #expect(taylor.allSatisfy { $0.sampling?.evaluations == 24 && $0.stepCacheCounts?.saved == 10 })
    for image in try await pipeline.generate(request(.firstBlock(threshold: 0.3))) {
      let counts = try #require(image.stepCacheCounts)
      #expect(counts.full + counts.partial == 24 && counts.partial > 0 && counts.full > 2)
    }
  }

  /// Branches that come and go, solvers that evaluate twice in a step or take steps back, and flows, whose first lambda
  /// is not finite.
  @Test(arguments: caches) func everythingElseWorksAlong(_ cache: StepCache) async throws {
    let pipeline = try PipelineTests.pipeline()
    for solver in ["heun", "dpm++2m", "ddpm", "dpm++-adaptive-23"] {
      var request = request(cache, steps: 6)
      (request.solver, request.count) = (solver, 2)
      let images = try await pipeline.generate(request)
      for image in images {
        let counts = try #require(image.stepCacheCounts)
        #expect(image.latents.rootMeanSquare().isFinite)
        #expect(counts.full + counts.saved == image.sampling?.evaluations)
      }
    }
    var disturbed = request(cache)
    disturbed.guidance = try Unguided().perturbedAttention(
      layers: ["mid_block"], interval: (lower: 0.5, upper: 5))
    for image in try await pipeline.generate(disturbed) {
      let counts = try #require(image.stepCacheCounts)
      #expect(counts.full + counts.saved == image.sampling?.evaluations && image.latents.rootMeanSquare().isFinite)
    }
    var flow = request(cache)
    flow.solver = nil
    for image in try await TextToImagePipeline(Glyphs.flow()).generate(flow) {
      #expect(image.latents.rootMeanSquare().isFinite)
    }
  }

  /// A polynomial of the order is met exactly, whatever the steps; one whose steps grow too much is not trusted.
  @Test func polynomialsAreCarriedOnExactly() throws {
    func value(_ x: Double) -> DenseTensor<Float> { DenseTensor([Float(2 + x - 3 * x * x), Float(x)], shape: [2]) }
    var history = FeatureHistory()
    #expect(history.value(at: 0) == nil)
    for x in [-0.5, 0.125, 0.5, 1.25] { history.add(value(x), at: x, keeping: 3) }
    #expect(history.nodes.map(\.lambda) == [1.25, 0.5, 0.125] && history.byteCount == 24)
    let ahead = try #require(history.value(at: 1.5))
    #expect(ahead.relativeError(to: value(1.5)) < 1e-6)
    #expect(history.value(at: 1.25) == value(1.25))
    #expect(history.value(at: 40) == value(1.25) && history.value(at: .infinity) == value(1.25))
    history.add(value(2), at: 1.25, keeping: 3)
    #expect(history.nodes.count == 3 && history.value(at: 1.25) == value(2))
  }

  @Test func memoryIsBounded() async throws {
    let pipeline = try PipelineTests.pipeline()
    for cache in Self.caches {
      #expect(try pipeline.memory(for: request(cache)).denoising > pipeline.memory(for: request(nil)).denoising)
    }
  }

  @Test func impossibleCachesAreErrors() async throws {
    let pipeline = try PipelineTests.pipeline()
    for cache in [
      StepCache.deepCache(interval: 0), .deepCache(interval: 2, depth: 0), .deepCache(interval: 2, depth: 6),
      .firstBlock(threshold: -1), .firstBlock(threshold: .nan), .taylor(interval: 2, order: 5),
      .taylor(interval: 2, order: -1), StepCache(.output, .change(0.1)),
    ] {
      await #expect(throws: PipelineError.self) { try await pipeline.generate(request(cache)) }
    }
  }

  @Test func textStandsForCaches() {
    #expect(StepCache("deepcache:3") == .deepCache(interval: 3))
    #expect(StepCache("DeepCache:5:1") == .deepCache(interval: 5, depth: 1))
    #expect(StepCache("firstblock:0.1") == .firstBlock(threshold: 0.1))
    #expect(StepCache("taylor:4:1") == .taylor(interval: 4, order: 1))
    #expect(StepCache("deepcache:3:2:1") == .deepCache(interval: 3, order: 1))
    #expect(StepCache("taylor:4:1:3") == StepCache(.output, .interval(4), order: 1, warmUp: 3))
    for text in [
      "", "taylor", "taylor:", "taylor:x", "taylor:2:", "deepcache:2:1:1:1:1", "taylor:2:1:1:1", "deepcache:2::1",
      "deepcache:0.5",
      "cache:3",
    ] {
      #expect(StepCache(text) == nil)
    }
    #expect(StepCache.deepCache(interval: 3).description == "deepcache:3:2")
    #expect(StepCache.taylor(interval: 3, order: 0).description == "taylor:3:0")
    for reuse in [StepCache.Reuse.output, .deepFeatures(depth: 2), .deepFeatures(depth: 3)] {
      for schedule in [StepCache.Schedule.interval(3), .interval(-1), .change(0.1), .change(1e-20), .change(.infinity)]
      {
        for (order, warmUp) in [(0, 1), (2, 1), (1, 1), (0, 0), (2, 4)] {
          let cache = StepCache(reuse, schedule, order: order, warmUp: warmUp)
          #expect(StepCache(cache.description) == cache, "\(cache)")
        }
      }
    }
  }
}
