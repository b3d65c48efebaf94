import DenseTensors
import Networks
import Sampling
import Tensors

extension TextToImagePipeline {
  /// The denoiser's view of the prompts of an image.
  public struct Prompts: Sendable {
    /// The empty or negative prompt first.
    private let negative: [UNet2DConditionModel.Prompt]
    private let positive: [UNet2DConditionModel.Prompt]

    /// - Parameters:
    ///   - positive: embeddings of the prompt, and of those that a guidance composes with it.
    ///   - negative: embeddings of the negative prompt, empty where there is none, and of further ones.
    public init(
      _ denoiser: UNet2DConditionModel, positive: [DenseTensor<Float>], negative: [DenseTensor<Float>]
    ) {
      self.positive = positive.map(denoiser.prepare)
      self.negative = negative.map(denoiser.prepare)
    }

    init(positive: [UNet2DConditionModel.Prompt], negative: [UNet2DConditionModel.Prompt]) {
      self.positive = positive
      self.negative = negative
    }

    /// nil where there is no such prompt.
    func prompt(for branch: GuidanceBranch) -> UNet2DConditionModel.Prompt? {
      switch branch.prompt {
      case .positive(let index): positive.indices.contains(index) ? positive[index] : nil
      case .negative(let index): negative.indices.contains(index) ? negative[index] : nil
      }
    }
  }

  /// Refuses branches that there is no prompt or no model for, before anything is sampled.
  ///
  /// - Throws: ``PipelineError/invalidRequest(name:found:expected:)``; `UnknownLayerError`.
  func check(_ guidance: any Guidance, with sampler: Sampler, prompts: PromptCounts) throws {
    var checked: Set<GuidanceBranch> = []
    for branch in sampler.branches(of: guidance).joined() where checked.insert(branch).inserted {
      let isThere =
        switch branch.prompt {
        case .positive(let index): (0..<prompts.positive).contains(index)
        case .negative(let index): (0..<prompts.negative).contains(index)
        }
      guard isThere else {
        throw PipelineError.invalidRequest(
          name: "the guidance's prompt", found: "\(branch.prompt)", expected: "one that the request has")
      }
      guard branch.perturbation != .weakModel else {
        throw PipelineError.invalidRequest(
          name: "the guidance", found: "one with a weaker model", expected: "one with this model alone")
      }
      _ = try perturbation(of: branch)
    }
  }

  func perturbation(of branch: GuidanceBranch) throws(UnknownLayerError) -> UNetPerturbation? {
    let model = denoiserSlot.outline
    return switch branch.perturbation {
    case .none, .weakModel: nil
    case .identityAttention(let layers): try model.perturbation(.identityAttention, layers: layers)
    case .blurredQueries(let sigma, let layers):
      try model.perturbation(.blurredQueries(sigma: sigma), layers: layers)
    case .skipped(let layers): try model.perturbation(.skipped, layers: layers)
    }
  }

  /// Evaluates the denoiser on many requests at once.
  ///
  /// - Parameters:
  ///   - prompts: of each image, or those of all.
  ///   - tokenMerging: as ``GenerationRequest/tokenMerging``.
  ///   - steps: what is known from earlier evaluations of the same images, where not all are to be made in full; then
  ///     no tokens are merged.
  ///   - readsVariance: whether what the model has learned of the variance is wanted: as many more outputs.
  /// - Throws: ``PipelineError/invalidRequest(name:found:expected:)`` for a branch without a prompt, and for the
  ///   variance where the model has learned none; `UnknownLayerError` for a branch that disturbs a layer that is not
  ///   there; `CheckpointError` where the denoiser is not in memory and cannot be read.
  public func denoise(
    _ requests: [DenoiserRequest<DenseTensor<Float>>], prompts: [Prompts], tokenMerging: Double? = nil,
    steps: StepCacheMemory? = nil, readsVariance: Bool = false
  ) throws -> [DenseTensor<Float>] {
    try denoise(
      requests, prompts: prompts, tokenMerging: tokenMerging, steps: steps, readsVariance: readsVariance,
      with: denoiser, memory: nil)
  }

  func denoise(
    _ requests: [DenoiserRequest<DenseTensor<Float>>], prompts: [Prompts], tokenMerging: Double?,
    steps: StepCacheMemory?, readsVariance: Bool, with model: UNet2DConditionModel,
    memory: ActivationMemory<ComputationKind>?
  ) throws -> [DenseTensor<Float>] {
    guard !readsVariance || learnsVariance else {
      throw PipelineError.invalidRequest(
        name: "the variance", found: "read from a model without a second output",
        expected: "a model that has learned it")
    }
    var inputs = try inputs(of: requests, prompts: prompts)
    let outputs: [DenseTensor<Float>]
    if let steps {
      outputs = steps.outputs(of: inputs, with: model, plans: plans)
    } else {
      inputs.tokenMerging = tokenMerging ?? 0
      outputs = self.outputs(of: inputs, with: model, memory: memory)
    }
    guard learnsVariance else { return outputs }
    let halves = outputs.map { output in
      output.reshaped([output.shape[0] * output.shape[1], output.shape[2]]).splitColumns(2).map {
        $0.reshaped([output.shape[0], output.shape[1], output.shape[2] / 2])
      }
    }
    return halves.map { $0[0] } + (readsVariance ? halves.map { $0[1] } : [])
  }

  private func outputs(
    of inputs: DenoiserInputs, with model: UNet2DConditionModel, memory: ActivationMemory<ComputationKind>?
  ) -> [DenseTensor<Float>] {
    let count = inputs.indices.count
    let size = max(evaluationSize ?? count, 1)
    return stride(from: 0, to: count, by: size).flatMap { first in
      let range = first..<min(first + size, count)
      let own = range.count == count ? inputs : inputs[Array(range)]
      func evaluate() -> DenseTensor<Float> { own.evaluate(model) }
      let output = memory?.run(own.kind(.whole), evaluate) ?? evaluate()
      return range.indices.map { output[outer: $0 - first] }
    }
  }

  private func inputs(
    of requests: [DenoiserRequest<DenseTensor<Float>>], prompts: [Prompts]
  ) throws -> DenoiserInputs {
    var inputs = DenoiserInputs()
    for request in requests {
      guard let prompt = prompts[prompts.count == 1 ? 0 : request.image].prompt(for: request.branch) else {
        throw PipelineError.invalidRequest(
          name: "the guidance's prompt", found: "\(request.branch.prompt)", expected: "one that the request has")
      }
      inputs.images.append(request.image)
      inputs.branches.append(request.branch)
      inputs.lambdas.append(request.time.lambda)
      inputs.states.append(input(of: request))
      inputs.timesteps.append(request.time.timestep)
      inputs.prompts.append(prompt)
      inputs.perturbations.append(try perturbation(of: request.branch))
    }
    return inputs
  }
  /// A request's state as the model takes it.
  func input(of request: DenoiserRequest<DenseTensor<Float>>) -> DenseTensor<Float> {
    let scale = scheduler.prediction.inputScale(at: request.time)
    return scale == 1 ? request.state : .combining((scale, request.state))
  }
}
