import Tensors

extension SamplingPlan {
  /// Samples one image per noise field.
  ///
  /// The images go through the plan side by side, so that a model can batch them, but no operation mixes them:
  /// each comes out the same as alone. A cancelled task stops before the next evaluation.
  ///
  /// - Parameters:
  ///   - fields: where each image's noise comes from; the streams given here are not used.
  ///   - shape: of one image, such as `[height, width, channels]`.
  ///   - start: what to start from.
  ///   - guidance: how the model's branches are combined.
  ///   - noise: what stands for the fields' noise.
  ///   - observe: called after every step.
  ///   - denoise: the model: one output per request, in order, of the request's shape; where the plan reads the
  ///     variance, followed by as many outputs of what the model has learned of it (see ``DDPM/Variance``).
  /// - Throws: `CancellationError`, ``SamplingError/wrongModelOutput(found:expected:)``, and what the model throws;
  ///   `SamplingError` where the noise, the tensor or the guidance is not one that the plan can use.
  @inlinable public nonisolated(nonsending) func sample<State: Tensor>(
    fields: [NoiseField], shape: Shape, start: SamplingStart<State> = .noise, guidance: some Guidance = Unguided(),
    noise: NoiseSource<State> = .field, observe: (SamplingProgress<State>) throws -> Void = { _ in },
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [SamplingResult<State>] {
    if noise.isSequential, usesBrownianPath {
      throw SamplingError.incompatible(
        solver: solver, reason: "its noise is that of a Brownian path, and the source has independent draws only")
    }
    let readsVariance = readsVariance
    if readsVariance, !(State.self is any ElementTensor.Type) {
      throw SamplingError.incompatible(
        solver: solver, reason: "its variance is learned for each element, and a \(State.self) has none to read")
    }
    try guidance.check(prediction, at: evaluatedPoints)
    let states = try startingStates(fields: fields, shape: shape, start: start, noise: noise, at: grid[0])
    let runs = zip(states, fields).map { PlanRun(self, state: $0, field: $1, noise: noise) }
    let loop = SamplingLoop(runs, guidance: guidance, prediction: prediction, readsVariance: readsVariance)
    return try await loop.run(observe: observe, denoise: denoise)
  }

  /// The images alone of ``sample(fields:shape:start:guidance:noise:observe:denoise:)``.
  @inlinable public nonisolated(nonsending) func run<State: Tensor>(
    fields: [NoiseField], shape: Shape, start: SamplingStart<State> = .noise, guidance: some Guidance = Unguided(),
    noise: NoiseSource<State> = .field, observe: (SamplingProgress<State>) throws -> Void = { _ in },
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [State] {
    try await sample(
      fields: fields, shape: shape, start: start, guidance: guidance, noise: noise, observe: observe, denoise: denoise
    ).map(\.state)
  }

  /// Samples one image.
  ///
  /// - Throws: as ``sample(fields:shape:start:guidance:noise:observe:denoise:)``.
  @inlinable public nonisolated(nonsending) func run<State: Tensor>(
    seed: UInt64, shape: Shape, guidance: some Guidance = Unguided(),
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> State {
    try await run(fields: [NoiseField(seed: seed)], shape: shape, guidance: guidance, denoise: denoise)[0]
  }
}

/// One state per field at `point`, where a run starts.
///
/// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` where the caller's tensors do not fit.
@usableFromInline func startingStates<State: Tensor>(
  fields: [NoiseField], shape: Shape, start: SamplingStart<State>, noise: NoiseSource<State>, at point: TimePoint
) throws(SamplingError) -> [State] {
  if let tensors = start.tensors, tensors.count != fields.count || !tensors.allSatisfy({ $0.shape == shape }) {
    throw .invalidOption(
      name: "the starting states", found: "\(tensors.map(\.shape))", expected: "\(fields.count) of \(shape)")
  }
  return fields.enumerated().map { index, field in
    func noised(_ terms: [LinearCombination<State>.Term], by coefficient: Double) -> State {
      var state = State(zeros: shape)
      if let draw = noise.draw {
        state.assign(.init(terms + [.init(coefficient, draw(field, 0, shape))]))
      } else {
        state.assign(.init(terms, noises: [.init(coefficient, field.with(stream: 0))]))
      }
      return state
    }
    switch start {
    case .noise: return noised([], by: point.standardDeviation)
    case .unitVariance(let tensors): return .combining((point.standardDeviation, tensors[index]))
    case .states(let tensors): return tensors[index]
    case .images(let tensors): return noised([.init(point.alpha, tensors[index])], by: point.sigma)
    }
  }
}
