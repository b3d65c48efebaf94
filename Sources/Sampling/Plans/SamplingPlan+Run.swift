import Tensors

/// One evaluation that the executor asks of a model.
public struct DenoiserRequest<State: Tensor>: Sendable {
  /// The noisy image.
  public let state: State
  /// The time, of which models read the `timestep`.
  public let time: TimePoint
  /// Which image of the run it belongs to.
  public let image: Int
  /// Which condition it is to be evaluated with.
  public let branch: GuidanceBranch
}

/// A run as it stands after a step.
public struct SamplingProgress<State: Tensor>: Sendable {
  /// Steps completed, from 1, and steps in all.
  public let step: Int
  public let stepCount: Int
  /// The time just reached.
  public let time: TimePoint
  /// Model evaluations so far, over all images and branches.
  public let evaluations: Int
  /// The states of all images.
  public let states: [State]
}

extension SamplingPlan {
  /// Samples one image per noise field.
  ///
  /// The images go through the plan side by side, so that a model can batch them, but no operation mixes them:
  /// each comes out the same as alone. A cancelled task stops before the next evaluation.
  ///
  /// - Parameters:
  ///   - fields: where each image's noise comes from; the streams given here are not used.
  ///   - shape: of one image, such as `[height, width, channels]`.
  ///   - initial: states to start from in place of standard normal noise, one per image.
  ///   - guidance: how the model's branches are combined.
  ///   - observe: called after every step.
  ///   - denoise: the model: one output per request, in order, of the request's shape.
  /// - Throws: `CancellationError`, ``SamplingError/wrongModelOutput(found:expected:)``, and what the model throws.
  public nonisolated(nonsending) func run<State: Tensor>(
    fields: [NoiseField], shape: Shape, initial: [State]? = nil, guidance: some Guidance = Unguided(),
    observe: (SamplingProgress<State>) throws -> Void = { _ in },
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [State] {
    guard !fields.isEmpty else { return [] }
    if let initial {
      guard initial.count == fields.count, initial.allSatisfy({ $0.shape == shape }) else {
        throw SamplingError.invalidOption(
          name: "the starting states", found: "\(initial.map(\.shape))",
          expected: "\(fields.count) of \(shape)")
      }
    }
    var images = fields.enumerated().map { index, field in
      var state = State(zeros: shape)
      if let initial {
        state.assign(.init([.init(initialScale, initial[index])]))
      } else {
        state.assign(.init([], noise: .init(initialScale, field.with(stream: 0))))
      }
      return ImageRun(state: state, in: input, of: registerCount, field: field)
    }
    var evaluations = 0
    for operation in operations {
      switch operation {
      case .evaluate(let evaluation):
        try Task.checkCancellation()
        let branches = guidance.branches(at: evaluation.point)
        let requests = images.indices.flatMap { index in
          branches.map {
            DenoiserRequest(
              state: images[index][evaluation.input], time: evaluation.point, image: index, branch: $0)
          }
        }
        let outputs = try await denoise(requests)
        guard outputs.count == requests.count, outputs.allSatisfy({ $0.shape == shape }) else {
          throw SamplingError.wrongModelOutput(
            found: "\(outputs.count) outputs of shapes \(Set(outputs.map(\.shape)))",
            expected: "\(requests.count) of \(shape)")
        }
        evaluations += requests.count
        for index in images.indices {
          let own = outputs[index * branches.count..<(index + 1) * branches.count]
          images[index][evaluation.output] = guidance.combine(Array(own), at: evaluation.point)
        }
      case .combine(let combination):
        for index in images.indices {
          images[index].apply(combination, shape: shape)
        }
        if let step = combination.completedStep {
          try observe(
            SamplingProgress(
              step: step, stepCount: stepCount, time: grid[step], evaluations: evaluations,
              states: images.map { $0[combination.output] }))
        }
      }
    }
    return images.map { $0[output] }
  }

  /// Samples one image.
  ///
  /// - Throws: as ``run(fields:shape:initial:guidance:observe:denoise:)``.
  public nonisolated(nonsending) func run<State: Tensor>(
    seed: UInt64, shape: Shape, guidance: some Guidance = Unguided(),
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> State {
    try await run(fields: [NoiseField(seed: seed)], shape: shape, guidance: guidance, denoise: denoise)[0]
  }
}

/// The registers of one image.
private struct ImageRun<State: Tensor> {
  private var registers: [State?]
  private let field: NoiseField

  init(state: State, in input: SamplingPlan.Register, of count: Int, field: NoiseField) {
    registers = Array(repeating: nil, count: count)
    registers[input.index] = state
    self.field = field
  }

  subscript(register: SamplingPlan.Register) -> State {
    get {
      guard let state = registers[register.index] else {
        preconditionFailure("register \(register.index) is read before it is written")
      }
      return state
    }
    set { registers[register.index] = newValue }
  }

  mutating func apply(_ combination: SamplingPlan.Combination, shape: Shape) {
    // The register's last tensor is dead: taken out, its memory is this one's alone and can be written again.
    var result = registers[combination.output.index].take() ?? State(zeros: shape)
    result.assign(
      LinearCombination(
        combination.terms.map { .init($0.coefficient, self[$0.register]) },
        noise: combination.noise.map { .init($0.coefficient, field.with(stream: $0.stream)) }))
    if let limit = combination.limit { result.clamp(to: -limit...limit) }
    registers[combination.output.index] = result
  }
}
