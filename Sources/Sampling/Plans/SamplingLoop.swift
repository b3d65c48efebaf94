import Tensors

/// Drives images through their steps side by side, so that a model can batch their evaluations.
///
/// No operation mixes images. Each may be at a step and a time of its own.
struct SamplingLoop<Run: ImageRun, Guide: Guidance> {
  typealias State = Run.State

  private struct Image {
    var run: Run
    var evaluations = 0
    /// Evaluations of the solver, each of which may cost several branches.
    var moments = 0
    var memory = GuidanceMemory<State>()
    var step = 0
    var point: TimePoint?
    var pending: (state: State, point: TimePoint)?
    /// What the pending evaluation is made of.
    var branches: [GuidanceBranch] = []
    var isFinished = false
  }

  private var images: [Image]
  private let guidance: Guide
  private let prediction: Prediction

  init(_ runs: [Run], guidance: Guide, prediction: Prediction) {
    images = runs.map { Image(run: $0) }
    self.guidance = guidance
    self.prediction = prediction
  }

  /// Runs all images to their ends.
  ///
  /// - Throws: `CancellationError`, ``SamplingError/wrongModelOutput(found:expected:)``, and what `observe` and the model
  ///   throw.
  nonisolated(nonsending) mutating func run(
    observe: (SamplingProgress<State>) throws -> Void,
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [SamplingResult<State>] {
    while true {
      while advance() { try observe(progress) }
      guard hasUnfinished else { break }
      try Task.checkCancellation()
      try await evaluate(denoise)
    }
    return images.map {
      SamplingResult(
        state: $0.run.state, evaluations: $0.evaluations, stepErrors: $0.run.stepErrors,
        errorEstimate: $0.run.errorEstimate, rejectedSteps: $0.run.rejectedSteps)
    }
  }

  private var hasUnfinished: Bool {
    for index in images.indices where !images[index].isFinished { return true }
    return false
  }

  /// Takes every image that waits for nothing to its next event; says whether one has completed a step.
  private mutating func advance() -> Bool {
    var hasStepped = false
    for index in images.indices where images[index].pending == nil && !images[index].isFinished {
      switch images[index].run.advance() {
      case .evaluation(let state, let point): images[index].pending = (state, point)
      case .finished: images[index].isFinished = true
      case .step(let step, let point):
        images[index].step = step
        images[index].point = point
        hasStepped = true
      }
    }
    return hasStepped
  }

  private nonisolated(nonsending) mutating func evaluate(
    _ denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws {
    var requests: [DenoiserRequest<State>] = []
    for index in images.indices {
      guard let pending = images[index].pending else { continue }
      let branches = guidance.branches(at: .init(point: pending.point, evaluation: images[index].moments))
      images[index].branches = branches
      for branch in branches {
        requests.append(
          DenoiserRequest(state: pending.state, time: pending.point, image: index, branch: branch))
      }
    }
    let outputs = requests.isEmpty ? [] : try await denoise(requests)
    guard Self.fit(outputs, requests) else {
      throw SamplingError.wrongModelOutput(
        found: "\(outputs.count) outputs of shapes \(Set(outputs.map { $0.shape }))",
        expected: "\(requests.count) of \(requests[0].state.shape)")
    }
    // The requests hold the states: freed, a step can write where they were.
    requests = []
    var next = 0
    for index in images.indices {
      guard let pending = images[index].pending.take() else { continue }
      let branches = images[index].branches
      let own = BranchOutputs(outputs[next..<next + branches.count], of: branches, state: pending.state)
      next += branches.count
      let moment = GuidanceMoment(point: pending.point, evaluation: images[index].moments)
      let output = guidance.guided(own, prediction: prediction, at: moment, memory: &images[index].memory)
      images[index].run.supply(output, unguided: own.contains(.unconditional) ? own[.unconditional] : output)
      images[index].evaluations += branches.count
      images[index].moments += 1
    }
  }

  private static func fit(_ outputs: [State], _ requests: [DenoiserRequest<State>]) -> Bool {
    guard outputs.count == requests.count else { return false }
    for index in outputs.indices where outputs[index].shape != requests[index].state.shape { return false }
    return true
  }

  private var progress: SamplingProgress<State> {
    // In loops over indices: key paths and copies of images are slow in generic code.
    var (step, evaluations) = (0, 0)
    var noisiest: TimePoint?
    var states: [State] = []
    states.reserveCapacity(images.count)
    for index in images.indices {
      step = max(step, images[index].step)
      evaluations += images[index].evaluations
      states.append(images[index].run.state)
      if let point = images[index].point, noisiest.map({ $0.noiseToSignal < point.noiseToSignal }) ?? true {
        noisiest = point
      }
    }
    return SamplingProgress(
      step: step, stepCount: images[0].run.stepCount, time: noisiest ?? .init(timestep: 0, alpha: 1, sigma: 0),
      evaluations: evaluations, states: states)
  }
}

extension Guidance {
  /// The combined prediction in the model's own form, by way of the space that the method acts in.
  func guided<State: Tensor>(
    _ outputs: BranchOutputs<State>, prediction: Prediction, at moment: GuidanceMoment,
    memory: inout GuidanceMemory<State>
  ) -> State {
    guard let space, space != prediction else { return combine(outputs, at: moment, memory: &memory) }
    let (state, output) = prediction.coefficients(to: space, at: moment.point)
    let converted = outputs.map { .combining((state, outputs.state), (output, $0)) }
    let combined = combine(converted, at: moment, memory: &memory)
    let back = space.coefficients(to: prediction, at: moment.point)
    return .combining((back.state, outputs.state), (back.output, combined))
  }
}
