import Checkpoints
import DenseTensors
import Networks
import Sampling
import Tensors

/// From a prompt to images: text encoder, denoiser, decoder.
///
/// Its only state are caches that change no result: any number of tasks can generate with one pipeline at once.
public struct TextToImagePipeline: Sendable {
  public let promptEncoder: PromptEncoder
  public let scheduler: SchedulerConfiguration
  /// What the denoiser computes with.
  public let precision: Precision
  /// When the networks are in memory.
  public let residency: Residency
  /// What is remembered between requests, by all copies of this pipeline.
  public let caches: PipelineCaches
  /// A pipeline with other weights is another model to the caches.
  let identity = ModelIdentity()
  let plans = ActivationMemory<ComputationKind>.Plans()
  let denoiserSlot: NetworkSlot<UNet2DConditionModel>
  let autoencoderSlot: NetworkSlot<AutoencoderKL>

  /// The denoiser, read from the model's folder where it is not in memory: keep it for as long as it is of use.
  ///
  /// - Throws: `CheckpointError`.
  public var denoiser: UNet2DConditionModel { get throws { try denoiserSlot.hold().network } }
  /// The autoencoder, read from the model's folder where it is not in memory.
  ///
  /// - Throws: `CheckpointError`.
  public var autoencoder: AutoencoderKL { get throws { try autoencoderSlot.hold().network } }
  public var denoiserConfiguration: UNetConfiguration { denoiserSlot.outline.configuration }
  public var autoencoderConfiguration: AutoencoderConfiguration { autoencoderSlot.outline.configuration }

  /// What takes the place of an empty negative prompt in every request.
  public var defaultNegativePrompt = ""

  /// The most images that go through the denoiser side by side, 1 or more.
  public var batchSize = 8

  /// The most branches of guidance, over all images of a batch, that go through the denoiser side by side; nil is all.
  /// Fewer take less memory and give the same bits. Step caches take all.
  public var evaluationSize: Int?

  /// Whether a batch is decoded while the next one is denoised, where a request's memory limit leaves room for both.
  ///
  /// It pays where denoising leaves threads idle. On two cores shared with other work, with the bundled model, whose
  /// decoding is 6 % of the time, it gave 0.96 to 1.02 times the speed: `bench toolkit --only decoding` measures it.
  public var overlapsDecoding = true

  /// Reads a model in diffusers' layout.
  ///
  /// - Parameters:
  ///   - precision: what the denoiser computes with, and what runs once for each image, where that is as fast. nil is
  ///     what a folder was quantized for, and single precision for others.
  ///   - caches: which other pipelines may share.
  ///   - residency: whether the networks are read now or, checked now but for their numbers, when they are needed.
  /// - Throws: `CheckpointError` where a file is broken or asks for something unsupported; ``PipelineError`` where the
  ///   components do not fit each other.
  public init(
    _ folder: ModelFolder, precision: Precision? = nil, caches: PipelineCaches = PipelineCaches(),
    residency: Residency = .resident
  ) throws {
    self.caches = caches
    self.residency = residency
    guard folder.className == "StableDiffusionPipeline" else {
      throw PipelineError.unsupportedPipeline(found: folder.className)
    }
    scheduler = try SchedulerConfiguration(folder)
    let precision = try precision ?? folder.weights(component: "unet").storageFormat.map(Precision.init) ?? .float32
    self.precision = precision
    promptEncoder = try PromptEncoder(folder, precision: precision.aroundDenoiser, residency: residency)
    denoiserSlot = try NetworkSlot(residency) {
      try UNet2DConditionModel(folder, precision: precision, isOutline: $0)
    }
    autoencoderSlot = try NetworkSlot(residency) {
      try AutoencoderKL(folder, precision: precision.aroundDenoiser, isOutline: $0)
    }
    let unet = denoiserConfiguration
    let width = promptEncoder.slot.outline.width
    guard unet.contextWidth == width else {
      throw PipelineError.mismatchedComponents(
        "the text encoder's embeddings are \(width) wide, the UNet wants \(unet.contextWidth)")
    }
    let channels = autoencoderConfiguration.latentChannels
    // A second output of as many channels is what the model has learned of the variance.
    guard unet.inChannels == channels, [channels, 2 * channels].contains(unet.outChannels) else {
      throw PipelineError.mismatchedComponents(
        "the VAE has \(channels) latent channels, the UNet takes \(unet.inChannels) and returns \(unet.outChannels)")
    }
  }

  /// The shape of one image's latents, `[height, width, channels]`.
  ///
  /// - Throws: ``PipelineError/invalidRequest(name:found:expected:)`` for a size that the autoencoder cannot make.
  public func latentShape(size: (width: Int, height: Int)?) throws(PipelineError) -> Shape {
    let scale = autoencoderConfiguration.scale
    let trained = denoiserConfiguration.sampleSize ?? (64, 64)
    let (width, height) = size ?? (trained.width * scale, trained.height * scale)
    guard [width, height].allSatisfy({ $0 > 0 && $0 <= 8192 && $0 % scale == 0 }) else {
      throw .invalidRequest(
        name: "the size", found: "\(width)x\(height)", expected: "multiples of \(scale) up to 8192")
    }
    return [height / scale, width / scale, autoencoderConfiguration.latentChannels]
  }

  /// What a request is sampled with.
  ///
  /// - Throws: `SamplingError` for an unknown solver, one that does not fit the model, or a plan whose shift nobody
  ///   knows: a scheduler with `use_dynamic_shifting` counts the tokens that a transformer makes of an image, and a
  ///   UNet makes none. diffusers has no shift for it either.
  public func sampler(for request: GenerationRequest) throws(SamplingError) -> Sampler {
    let sampler = try schedulerSampler(for: request)
    if sampler.readsVariance, !learnsVariance {
      throw .incompatible(
        solver: sampler.solver, reason: "the scheduler's variance_type is learned, and the model has no second output")
    }
    return sampler
  }

  /// Whether the denoiser's output has a second half, what it has learned of the variance.
  var learnsVariance: Bool { denoiserConfiguration.outChannels > denoiserConfiguration.inChannels }

  private func schedulerSampler(for request: GenerationRequest) throws(SamplingError) -> Sampler {
    let start = request.image.map { _ in GridStart.strength(request.strength) }
    let solver = try request.solver.map { name throws(SamplingError) in try NamedSolver(named: name) }
    switch solver ?? .planned(scheduler.defaultSolver) {
    case .planned(let entry):
      guard scheduler.dynamicShift == nil || request.shift != nil else {
        throw .invalidOption(
          name: "the shift", found: "that of a number of tokens (use_dynamic_shifting)",
          expected: "a number: a UNet has no tokens")
      }
      return .plan(
        try scheduler.plan(entry, steps: request.steps, spacing: request.spacing, start: start, shift: request.shift))
    case .adaptive(let entry):
      return .adaptive(
        try scheduler.adaptiveSampler(
          entry, tolerance: request.tolerance, maximumEvaluations: request.maximumEvaluations, start: start))
    }
  }

  /// The latents that an image becomes, `[height, width, channels]`: the mean of what the encoder says. An image that
  /// is still in the cache is not encoded again.
  ///
  /// - Throws: ``PipelineError/invalidRequest(name:found:expected:)`` for a size that the autoencoder cannot take;
  ///   `CheckpointError` where it is not in memory and cannot be read.
  public func encode(_ image: Image) throws -> DenseTensor<Float> {
    _ = try latentShape(size: (image.width, image.height))
    let key = PipelineCaches.ImageKey(model: identity, image: image)
    if let known = caches.encodedImages[key] { return known }
    let pixels = DenseTensor<Float>(
      image.pixels.map { Float($0) / 127.5 - 1 }, shape: [1, image.height, image.width, 3])
    let autoencoder = try autoencoder
    let moments = ActivationMemory(plans).run(.encoding(pixels.shape)) { autoencoder.moments(of: pixels) }
    let configuration = autoencoder.configuration
    let channels = configuration.latentChannels
    let (scale, shift) = (Float(configuration.scalingFactor), Float(configuration.shiftFactor))
    let elements = moments.elements
    let means = stride(from: 0, to: elements.count, by: 2 * channels).flatMap { first in
      (first..<first + channels).map { (elements[$0] - shift) * scale }
    }
    let latents = DenseTensor(means, shape: [moments.shape[1], moments.shape[2], channels])
    caches.encodedImages.insert(latents, for: key, bytes: 4 * latents.shape.count + image.pixels.count)
    return latents
  }

  /// Generates the images of a request.
  ///
  /// A cancelled task stops within one evaluation of the model.
  ///
  /// - Parameter observe: is told of every step and every image as it happens.
  /// - Throws: `CancellationError`; `SamplingError` and ``PipelineError`` for requests that cannot be met.
  public nonisolated(nonsending) func generate(
    _ request: GenerationRequest, observe: (GenerationEvent) throws -> Void = { _ in }
  ) async throws -> [GeneratedImage] {
    try await generate([request], observe: observe)[0]
  }

  /// The events of a request as they happen; the last are its images.
  ///
  /// Whoever stops listening cancels the run.
  public func events(of request: GenerationRequest) -> AsyncThrowingStream<GenerationEvent, any Error> {
    events(of: [request])
  }

  /// Decodes latents, each `[height, width, channels]`, a few at a time: a decoder's memory is many times a latent's.
  ///
  /// - Throws: ``ImageError`` where an image would be too large; `CheckpointError` where the autoencoder is not in
  ///   memory and cannot be read.
  public func decode(_ latents: [DenseTensor<Float>], firstIndex: Int = 0) throws -> [GeneratedImage] {
    try decode(latents, firstIndex: firstIndex, with: autoencoder, memory: ActivationMemory(plans))
  }

  func decode(
    _ latents: [DenseTensor<Float>], firstIndex: Int, with autoencoder: AutoencoderKL,
    memory: ActivationMemory<ComputationKind>
  ) throws(ImageError) -> [GeneratedImage] {
    var images: [GeneratedImage] = []
    for range in decodingRanges(of: latents.map(\.shape), with: autoencoder) {
      let batch = DenseTensor.stacking(Array(latents[range]))
      let pixels = memory.run(.decoding(batch.shape)) { autoencoder.decode(scaled: batch) }
      for index in range {
        let own = pixels[outer: index - range.lowerBound]
        let image = try Image(width: own.shape[1], height: own.shape[0], rgb: own.elements)
        images.append(GeneratedImage(index: firstIndex + index, image: image, latents: latents[index], pixels: own))
      }
    }
    return images
  }

  /// Which latents of these shapes are decoded at once: as many of one shape as is best, or one.
  func decodingRanges(of shapes: [Shape], with autoencoder: AutoencoderKL) -> [Range<Int>] {
    let size = autoencoder.decodingBatch
    var ranges: [Range<Int>] = []
    while let first = ranges.last?.upperBound ?? shapes.indices.first, first < shapes.count {
      let some = first..<first + size
      ranges.append(some.upperBound <= shapes.count && Set(shapes[some]).count == 1 ? some : first..<first + 1)
    }
    return ranges
  }
}
