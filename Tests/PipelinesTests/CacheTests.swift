import Fewstep
import Glyphs
import Testing

@Suite("Caches")
struct CacheTests {
  @Test func theLeastRecentlyUsedGoesFirst() {
    let cache = LRUCache<String, Int>(byteLimit: 10)
    cache.insert(1, for: "a", bytes: 4)
    cache.insert(2, for: "b", bytes: 4)
    #expect(cache["a"] == 1)
    cache.insert(3, for: "c", bytes: 4)
    #expect(cache["b"] == nil && cache["a"] == 1 && cache["c"] == 3)
    var statistics = cache.statistics
    #expect(statistics.count == 2 && statistics.bytes == 8 && statistics.evictions == 1)
    #expect(statistics.hits == 3 && statistics.misses == 1)
    cache.insert(4, for: "d", bytes: 11)
    #expect(cache["d"] == nil && cache.statistics.count == 2)
    cache.insert(5, for: "a", bytes: 6)
    #expect(cache["a"] == 5 && cache.statistics.bytes == 10)
    cache.byteLimit = 6
    #expect(cache["c"] == nil && cache["a"] == 5 && cache.statistics.bytes == 6)
    cache.removeAll()
    statistics = cache.statistics
    #expect(cache["a"] == nil && statistics.count == 0 && statistics.bytes == 0)
  }

  /// Whatever threads do to it at once, the bytes are those of its entries and within the limit.
  @Test func manyThreadsShareOne() async {
    let cache = LRUCache<Int, Int>(byteLimit: 100)
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask {
          for index in 0..<500 {
            let key = (task * 7 + index * 3) % 40
            if let value = cache[key] { #expect(value == key) } else { cache.insert(key, for: key, bytes: 1 + key % 9) }
            #expect(cache.statistics.bytes <= 100)
          }
        }
      }
    }
    let bytes = (0..<40).reduce(0) { cache[$1] == nil ? $0 : $0 + 1 + $1 % 9 }
    let statistics = cache.statistics
    #expect(statistics.bytes == bytes && statistics.hits + statistics.misses == 4000 + 40)
  }

  @Test(arguments: Precision.allCases) func aSecondPromptIsNotEncoded(_ precision: Precision) async throws {
    let pipeline = try TextToImagePipeline(Glyphs.epsilon(), precision: precision)
    var request = GenerationRequest(PipelineTests.prompt, steps: 2)
    let first = try await pipeline.generate(request)[0]
    #expect(pipeline.promptEncoder.evaluationCount == 2)
    request.seed = 1
    let other = try await pipeline.generate(request)[0]
    request.seed = 0
    let again = try await pipeline.generate(request)[0]
    #expect(pipeline.promptEncoder.evaluationCount == 2)
    #expect(again.latents == first.latents && again.image == first.image && other.latents != first.latents)
    #expect(pipeline.caches.prompts.statistics.hits == 4)

    // A new prompt is encoded alone, not with the empty one that is known: the same bits as of both together.
    request.prompt = "red A"
    let third = try await pipeline.generate(request)[0]
    #expect(pipeline.promptEncoder.evaluationCount == 3)
    pipeline.caches.removeAll()
    #expect(try await pipeline.generate(request)[0].latents == third.latents)
    #expect(pipeline.promptEncoder.evaluationCount == 5)
    pipeline.caches.prompts.byteLimit = 0
    #expect(try await pipeline.generate(request)[0].latents == third.latents)
    #expect(pipeline.promptEncoder.evaluationCount == 7 && pipeline.caches.prompts.statistics.bytes == 0)
  }

  /// The same tokens mean other keys and values to another model.
  @Test func modelsShareCaches() async throws {
    let caches = PipelineCaches()
    let request = GenerationRequest(PipelineTests.prompt, steps: 2)
    let pipelines = try Precision.allCases.map {
      try TextToImagePipeline(Glyphs.epsilon(), precision: $0, caches: caches)
    }
    for (pipeline, precision) in zip(pipelines, Precision.allCases) {
      let shared = try await pipeline.generate(request)[0]
      let alone = try await TextToImagePipeline(Glyphs.epsilon(), precision: precision).generate(request)[0]
      #expect(shared.latents == alone.latents)
    }
    #expect(caches.prompts.statistics.count == 2 * pipelines.count)
  }

  @Test func imagesAreEncodedOnce() async throws {
    let pipeline = try PipelineTests.pipeline()
    let image = try await pipeline.generate(GenerationRequest(PipelineTests.prompt, steps: 2))[0].image
    let latents = try pipeline.encode(image)
    #expect(try pipeline.encode(image) == latents)
    var pixels = image.pixels
    pixels[0] ^= 1
    #expect(try pipeline.encode(Image(width: image.width, height: image.height, pixels: pixels)) != latents)
    let statistics = pipeline.caches.encodedImages.statistics
    #expect(statistics.hits == 1 && statistics.misses == 2 && statistics.count == 2)
    pipeline.caches.removeAll()
    #expect(try pipeline.encode(image) == latents)
  }

  @Test func tasksShareTheCaches() async throws {
    let pipeline = try PipelineTests.pipeline()
    let requests = ["red A", "blue 7", "red A", "green K on white"].map { GenerationRequest($0, steps: 3, seed: 4) }
    var expected: [DenseTensor<Float>] = []
    for request in requests { expected.append(try await PipelineTests.pipeline().generate(request)[0].latents) }
    try await withThrowingTaskGroup(of: (Int, DenseTensor<Float>).self) { group in
      for task in 0..<8 {
        group.addTask { (task % 4, try await pipeline.generate(requests[task % 4])[0].latents) }
      }
      for try await (index, latents) in group { #expect(latents == expected[index]) }
    }
    #expect(pipeline.caches.prompts.statistics.count == 4)
  }
}
