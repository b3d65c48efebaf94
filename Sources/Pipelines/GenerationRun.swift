import DenseTensors
import Networks
import Sampling
import Tensors

extension TextToImagePipeline {
  /// Generates the images of many requests.
  ///
  /// Requests of the same sampler, size and guidance share batches, in which every image is the same bits as alone.
  /// While a batch is denoised, the one before is decoded (see ``overlapsDecoding``), unless the pipeline is staged. A
  /// cancelled task stops within one evaluation of the model.
  ///
  /// - Parameter observe: is told of every step and every image as it happens; requests that share no batch may be
  ///   finished in another order than they were given.
  /// - Returns: the images of each request.
  /// - Throws: `CancellationError`; `SamplingError` and ``PipelineError`` for requests that cannot be met, before
  ///   anything is computed; ``PipelineError/unusableImage(request:index:flaw:)``, after the observer has been given
  ///   the others of the batch, or of all batches where the pipeline is staged; `CheckpointError` where a staged
  ///   network cannot be read.
  public nonisolated(nonsending) func generate(
    _ requests: [GenerationRequest], observe: (GenerationEvent) throws -> Void = { _ in }
  ) async throws -> [[GeneratedImage]] {
    var groups = try groups(of: requests)
    let overlaps = try checkMemory(of: groups, requests)
    for text in requests.flatMap({ texts(of: $0).positive + texts(of: $0).negative }) {
      let discarded = promptEncoder.tokenizer.encode(text).discardedText
      if !discarded.isEmpty { try observe(.truncated(prompt: text, discarded: discarded)) }
    }
    for group in groups {
      let counts = group.members.map { PromptCounts(texts(of: requests[$0])) }
      for counts in Set(counts) { try check(group.guidance, with: group.sampler, prompts: counts) }
    }

    var results = Array(repeating: [GeneratedImage](), count: requests.count)
    func deliver(_ image: GeneratedImage) throws {
      try observe(.image(image))
      results[image.request].append(image)
    }
    for index in groups.indices { groups[index].picture = try groups[index].source.map(encode) }
    // Of all at once where the text encoder would be read again for every batch.
    let encodedBefore = residency == .staged ? try encoded(allTexts(of: requests)) : nil
    let memory = ActivationMemory(plans)
    var held: NetworkSlot<UNet2DConditionModel>.Hold? = try denoiserSlot.hold()
    var known: [Int: Prompts] = [:]
    var waiting: [SampledBatch] = []
    var done = 0
    let total = requests.reduce(0) { $0 + $1.count }
    try await withThrowingTaskGroup(of: Void.self) { decoding in
      let outbox = Outbox()
      for group in groups {
        for first in stride(from: 0, to: group.images.count, by: batchSize) {
          let batch = Array(group.images[first..<min(first + batchSize, group.images.count)])
          let positions = done..<done + batch.count
          done = positions.upperBound
          let wanted = Set(batch.map(\.request))
          // Those that are there as they are.
          known = known.filter { wanted.contains($0.key) }
          let missing = wanted.filter { known[$0] == nil }.sorted()
          let new = missing.map { requests[$0] }
          let texts = try encodedBefore ?? encoded(allTexts(of: new))
          for (request, prompts) in zip(missing, prompts(of: new, from: texts, with: held!.network)) {
            known[request] = prompts
          }
          let steps = group.stepCache.map { StepCacheMemory($0) }
          let samples = try await group.sampler.sample(
            fields: batch.map { NoiseField(seed: requests[$0.request].seed, image: UInt32($0.index)) },
            shape: group.shape, start: group.start(of: batch), guidance: group.guidance, noise: group.noise,
            observe: { step in
              try outbox.empty(to: deliver)
              try observe(.step(step, images: positions))
            },
            denoise: {
              try denoise(
                $0, prompts: batch.map { known[$0.request]! }, tokenMerging: group.tokenMerging, steps: steps,
                readsVariance: group.sampler.readsVariance, with: held!.network, memory: memory)
            })
          let sampled = SampledBatch(
            samples: samples, counts: steps.map { steps in batch.indices.map { steps.counts(of: $0) } }, images: batch)
          steps?.removeAll()
          try Task.checkCancellation()
          if residency == .staged {
            waiting.append(sampled)
            continue
          }
          // Latents of one batch at most wait to be decoded.
          try await decoding.next()
          try outbox.empty(to: deliver)
          if overlaps, done < total {
            decoding.addTask { [self] in
              do {
                try decode([sampled], memory: ActivationMemory(plans)) { outbox.put($0) }
              } catch {
                outbox.fail(error)
              }
            }
          } else {
            try decode([sampled], memory: memory, deliver: deliver)
          }
        }
      }
    }
    guard !waiting.isEmpty else { return results }
    held = nil
    known = [:]
    memory.release()
    let autoencoder = try autoencoderSlot.hold()
    try withExtendedLifetime(autoencoder) {
      try decode(waiting, memory: memory, deliver: deliver)
    }
    return results
  }

  /// The events of many requests as they happen.
  ///
  /// Whoever stops listening cancels the run. Events that nobody has asked for yet are kept.
  public func events(of requests: [GenerationRequest]) -> AsyncThrowingStream<GenerationEvent, any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          _ = try await generate(requests) { continuation.yield($0) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// The images of many requests, each as soon as it is finished.
  ///
  /// Whoever stops listening cancels the run. Images that nobody has asked for yet are kept.
  public func images(of requests: [GenerationRequest]) -> AsyncThrowingStream<GeneratedImage, any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          _ = try await generate(requests) { event in
            if case .image(let image) = event { continuation.yield(image) }
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Delivers every image that can be used.
  ///
  /// - Throws: ``PipelineError/unusableImage(request:index:flaw:)`` for the first that cannot, after all others.
  private func decode(
    _ batches: [SampledBatch], memory: ActivationMemory<ComputationKind>, deliver: (GeneratedImage) throws -> Void
  ) throws {
    let autoencoder = try autoencoder
    var failure: PipelineError?
    for batch in batches {
      let latents = batch.samples.map(\.state)
      for range in decodingRanges(of: latents.map(\.shape), with: autoencoder) {
        try Task.checkCancellation()
        let images = try decode(Array(latents[range]), firstIndex: 0, with: autoencoder, memory: memory)
        for (position, var image) in zip(range, images) {
          let id = batch.images[position]
          if let flaw = image.pixels.withUnsafeBufferPointer(ImageFlaw.init) {
            failure = failure ?? .unusableImage(request: id.request, index: id.index, flaw: flaw)
            continue
          }
          (image.request, image.index) = (id.request, id.index)
          image.sampling = batch.samples[position]
          image.stepCacheCounts = batch.counts?[position]
          try deliver(image)
        }
      }
    }
    if let failure { throw failure }
  }
}

/// Images whose latents are ready.
private struct SampledBatch: Sendable {
  let samples: [SamplingResult<DenseTensor<Float>>]
  let counts: [StepCacheCounts]?
  let images: [RequestGroup.ImageID]
}

/// Images on their way from the task that decodes to the one that denoises, which hands them on.
private final class Outbox: Sendable {
  private let contents = Lock<(images: [GeneratedImage], failure: (any Error)?)>(([], nil))

  func put(_ image: GeneratedImage) {
    contents.withLock { $0.images.append(image) }
  }

  func fail(_ error: any Error) {
    contents.withLock { $0.failure = error }
  }

  /// Delivers what is in the box.
  ///
  /// - Throws: what went wrong with decoding, after all that went well.
  func empty(to deliver: (GeneratedImage) throws -> Void) throws {
    let (images, failure) = contents.withLock { contents in
      defer { contents.images = [] }
      return contents
    }
    for image in images { try deliver(image) }
    if let failure { throw failure }
  }
}
