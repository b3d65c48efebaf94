import DenseTensors
import Networks
import Sampling
import Tensors

/// The memory that generating takes, in bytes, as it is known beforehand.
public struct MemoryEstimate: Hashable, Sendable {
  public let residency: Residency
  /// Of all networks.
  public let weights: Int
  /// The tensors of encoding prompts, of one evaluation of the denoiser with what a step cache keeps, and of decoding
  /// one image, or as many as are decoded at once, or encoding one where a request starts from it.
  public let encoding: Int
  public let denoising: Int
  public let decoding: Int

  /// Whether one batch is decoded while the next is denoised.
  public let overlaps: Bool

  let textEncoder: NetworkBytes
  let denoiser: NetworkBytes
  let autoencoder: NetworkBytes

  /// Where all networks are resident, weights, and of the rest the largest, or what overlaps together. Where they are
  /// staged, the most that a stage takes: a network's weights while they are read, or with its tensors. Images,
  /// latents, states of the sampler, prompts and what each thread keeps for its kernels, about a megabyte, come on top,
  /// and so does the program itself.
  public var peak: Int {
    switch residency {
    case .resident: weights + max(encoding, overlaps ? denoising + decoding : max(denoising, decoding))
    case .staged: stages.max()!
    }
  }

  /// Of the text encoder, the denoiser and the autoencoder by itself.
  private var stages: [Int] {
    [(textEncoder, encoding), (denoiser, denoising), (autoencoder, decoding)].map { network, tensors in
      max(network.peak, network.total + tensors)
    }
  }
}

/// What the networks of a pipeline are run with: computations of one kind have the same tensors.
enum ComputationKind: Hashable, Sendable {
  case denoising([GuidanceBranch.Perturbation], Shape, promptLengths: [Int], Part, tokenMerging: Double)
  case decoding(Shape)
  case encoding(Shape)

  /// How much of the denoiser is run.
  enum Part: Hashable {
    case whole
    /// The first maps.
    case shallow(Int)
    /// All with features to keep, or around such features; with the first maps given or not.
    case cut(Int, isDeep: Bool, hasMaps: Bool)
  }
}

extension TextToImagePipeline {
  /// The memory that a request takes.
  ///
  /// - Parameter residency: nil is the pipeline's.
  /// - Throws: as ``generate(_:observe:)`` does for a request that cannot be met.
  public func memory(for request: GenerationRequest, residency: Residency? = nil) throws -> MemoryEstimate {
    try memory(for: [request], residency: residency)
  }

  /// The memory that requests take which are generated together.
  ///
  /// - Parameter residency: nil is the pipeline's.
  /// - Throws: as ``generate(_:observe:)`` does for requests that cannot be met.
  public func memory(for requests: [GenerationRequest], residency: Residency? = nil) throws -> MemoryEstimate {
    try memory(for: groups(of: requests), limit: requests.compactMap(\.memoryLimit).min(), residency: residency)
  }

  private func memory(
    for groups: [RequestGroup], limit: Int?, residency: Residency? = nil
  ) throws -> MemoryEstimate {
    let residency = residency ?? self.residency
    let denoiser = denoiserSlot.outline
    var denoising = 0
    var decoding = 0
    for group in groups {
      denoising = max(denoising, try denoisingBytes(of: group))
      let autoencoder = autoencoderSlot.outline
      let shapes = Array(repeating: group.shape, count: min(group.images.count, batchSize))
      let batch = decodingRanges(of: shapes, with: autoencoder)[0].count
      let latents = DenseTensor<Float>(zeros: Shape([batch] + group.shape.dimensions))
      let plan = plans.plan(.decoding(latents.shape)) { autoencoder.decode(scaled: latents) }
      decoding = max(decoding, plan.peakBytes)
      if let source = group.source {
        let pixels = DenseTensor<Float>(zeros: [1, source.height, source.width, 3])
        decoding = max(
          decoding, plans.plan(.encoding(pixels.shape)) { autoencoder.moments(of: pixels) }.peakBytes)
      }
    }
    let textEncoder = promptEncoder.slot.outline
    let texts = min(groups.reduce(0) { $0 + $1.members.count } * 2, PromptEncoder.batchSize)
    let autoencoder = autoencoderSlot.outline
    let weights = textEncoder.weightBytes + denoiser.weightBytes + autoencoder.weightBytes
    let fits = limit.map { weights + denoising + decoding <= $0 } ?? true
    return MemoryEstimate(
      residency: residency, weights: weights,
      encoding: textEncoder.activationPlan(prompts: texts).peakBytes, denoising: denoising, decoding: decoding,
      overlaps: fits && overlaps(decodingOf: groups, residency), textEncoder: textEncoder.bytes,
      denoiser: denoiser.bytes,
      autoencoder: autoencoder.bytes)
  }

  /// Of the prompts' keys and values, and of one evaluation of as many branches as go through the denoiser side by
  /// side: where no step cache is in use, rehearsed as the run would.
  private func denoisingBytes(of group: RequestGroup) throws -> Int {
    let model = denoiserSlot.outline
    let tokens = promptEncoder.tokenizer.maximumLength
    let branches = group.sampler.branches(of: group.guidance).max { $0.count < $1.count } ?? []
    let images = min(group.images.count, batchSize)
    let batch = images * max(branches.count, 1)
    var prompt: UNet2DConditionModel.Prompt?
    let prepared = ActivationArena.rehearse {
      prompt = model.prepare(DenseTensor(zeros: [tokens, model.configuration.contextWidth]))
      return prompt
    }
    if let stepCache = group.stepCache {
      return stepCache.bytes(of: batch, shape: group.shape, prompt: prompt!, in: model) + batch * prepared.peakBytes
    }
    let perturbations = try branches.map { try perturbation(of: $0) }
    var inputs = DenoiserInputs(tokenMerging: group.tokenMerging)
    for index in 0..<min(batch, max(evaluationSize ?? batch, 1)) {
      let branch = branches.isEmpty ? 0 : index % branches.count
      inputs.branches += branches.isEmpty ? [] : [branches[branch]]
      inputs.states.append(DenseTensor(zeros: group.shape))
      inputs.timesteps.append(0)
      inputs.prompts.append(prompt!)
      inputs.perturbations.append(branches.isEmpty ? nil : perturbations[branch])
    }
    let plan = plans.plan(inputs.kind(.whole)) { inputs.evaluate(model) }
    return plan.peakBytes + batch * prepared.peakBytes
  }

  /// Never on one thread, since decoding would bring a second.
  private func overlaps(decodingOf groups: [RequestGroup], _ residency: Residency) -> Bool {
    residency == .resident && overlapsDecoding && ThreadPool.threadCount > 1
      && groups.reduce(0) { $0 + ($1.images.count + batchSize - 1) / batchSize } > 1
  }

  /// Whether there is memory for decoding one batch while the next is denoised.
  ///
  /// - Throws: ``PipelineError/insufficientMemory(needed:limit:)``.
  func checkMemory(of groups: [RequestGroup], _ requests: [GenerationRequest]) throws -> Bool {
    guard let limit = requests.compactMap(\.memoryLimit).min() else {
      return overlaps(decodingOf: groups, residency)
    }
    let estimate = try memory(for: groups, limit: limit)
    guard estimate.peak <= limit else { throw PipelineError.insufficientMemory(needed: estimate.peak, limit: limit) }
    return estimate.overlaps
  }
}
