import Tensors

/// What takes noise to an image: steps planned beforehand, or chosen on the way.
public enum Sampler: Sendable {
  case plan(SamplingPlan)
  case adaptive(AdaptiveSampler)

  /// The solver's name.
  public var solver: String {
    switch self {
    case .plan(let plan): plan.solver
    case .adaptive(let sampler): sampler.pair.name
    }
  }

  /// The number of steps, where it is known.
  public var stepCount: Int? {
    switch self {
    case .plan(let plan): plan.stepCount
    case .adaptive: nil
    }
  }

  /// NFE for one image and one branch, where it is known.
  public var evaluationCount: Int? {
    switch self {
    case .plan(let plan): plan.evaluationCount
    case .adaptive: nil
    }
  }

  /// Whether the model is to return what it has learned of the variance too: ``SamplingPlan/readsVariance``.
  public var readsVariance: Bool {
    switch self {
    case .plan(let plan): plan.readsVariance
    case .adaptive: false
    }
  }

  /// What a guidance needs at each evaluation of an image; nobody knows where an adaptive run will evaluate, and it may
  /// need all branches at once.
  public func branches(of guidance: some Guidance) -> [[GuidanceBranch]] {
    switch self {
    case .plan(let plan):
      plan.evaluatedPoints.enumerated().map { guidance.branches(at: GuidanceMoment(point: $1, evaluation: $0)) }
    case .adaptive: [guidance.allBranches]
    }
  }

  /// Samples one image per noise field: see
  /// ``SamplingPlan/sample(fields:shape:start:guidance:noise:observe:denoise:)``.
  ///
  /// - Throws: as that does.
  public nonisolated(nonsending) func sample<State: Tensor>(
    fields: [NoiseField], shape: Shape, start: SamplingStart<State> = .noise, guidance: some Guidance = Unguided(),
    noise: NoiseSource<State> = .field, observe: (SamplingProgress<State>) throws -> Void = { _ in },
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [SamplingResult<State>] {
    switch self {
    case .plan(let plan):
      try await plan.sample(
        fields: fields, shape: shape, start: start, guidance: guidance, noise: noise, observe: observe,
        denoise: denoise)
    case .adaptive(let sampler):
      try await sampler.sample(
        fields: fields, shape: shape, start: start, guidance: guidance, noise: noise, observe: observe,
        denoise: denoise)
    }
  }
}
