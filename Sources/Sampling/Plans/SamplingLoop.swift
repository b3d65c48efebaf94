import Tensors

/// Drives images through their steps side by side, so that a model can batch their evaluations.
///
/// No operation mixes images. Each may be at a step and a time of its own. A step of a solver takes a few microseconds,
/// so what happens in every step allocates nothing, images are objects, and what is generic is inlinable down to the
/// machine: the caller's module compiles it for its own tensor. Code that knows no tensor type looks types up in every
/// step and copies structs part by part, which takes as long as the passes over memory.
@usableFromInline final class SamplingLoop<Run: ImageRun, Guide: Guidance> {
  @usableFromInline typealias State = Run.State

  @usableFromInline final class Image {
    @usableFromInline let run: Run
    @usableFromInline var evaluations = 0
    /// Evaluations of the solver, each of which may cost several branches.
    @usableFromInline var moments = 0
    @usableFromInline var memory = GuidanceMemory<State>()
    @usableFromInline var step = 0
    @usableFromInline var point: TimePoint?
    /// Where an evaluation is asked for that has not been made.
    @usableFromInline var pending: TimePoint?
    /// What the pending evaluation is made of.
    @usableFromInline var branches: [GuidanceBranch] = []
    @usableFromInline var isFinished = false

    @inlinable init(_ run: Run) {
      self.run = run
    }
  }

  @usableFromInline let images: [Image]
  // Kept between steps for their memory, and empty between uses: the tensors they hold cannot be written in place.
  @usableFromInline var requests: [DenoiserRequest<State>] = []
  @usableFromInline var states: [State] = []
  @usableFromInline let guidance: Guide
  @usableFromInline let prediction: Prediction
  /// Whether the model returns what it has learned of the variance, after all predictions.
  @usableFromInline let readsVariance: Bool

  @inlinable init(_ runs: [Run], guidance: Guide, prediction: Prediction, readsVariance: Bool = false) {
    images = runs.map { Image($0) }
    self.guidance = guidance
    self.prediction = prediction
    self.readsVariance = readsVariance
  }

  /// Runs all images to their ends.
  ///
  /// - Throws: `CancellationError`, ``SamplingError/wrongModelOutput(found:expected:)``, and what `observe` and the
  ///   model throw.
  @inlinable nonisolated(nonsending) func run(
    observe: (SamplingProgress<State>) throws -> Void,
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [SamplingResult<State>] {
    while true {
      while advance() {
        try observe(progress())
        states.removeAll(keepingCapacity: true)
      }
      ask()
      if requests.isEmpty, !hasPending { break }
      try Task.checkCancellation()
      try supply(requests.isEmpty ? [] : try await denoise(requests))
    }
    return images.map {
      SamplingResult(
        state: $0.run.state, evaluations: $0.evaluations, stepErrors: $0.run.stepErrors,
        errorEstimate: $0.run.errorEstimate, rejectedSteps: $0.run.rejectedSteps)
    }
  }

  /// Takes every image that waits for nothing to its next event; says whether one has completed a step.
  @inlinable func advance() -> Bool {
    var hasStepped = false
    for index in 0..<images.count {
      let image = images[index]
      guard image.pending == nil, !image.isFinished else { continue }
      switch image.run.advance() {
      case .evaluation(let point): image.pending = point
      case .finished: image.isFinished = true
      case .step(let step, let point):
        image.step = step
        image.point = point
        hasStepped = true
      }
    }
    return hasStepped
  }

  @inlinable var hasPending: Bool {
    for index in 0..<images.count where images[index].pending != nil { return true }
    return false
  }

  /// Fills the requests with what the pending evaluations are made of.
  @inlinable func ask() {
    for index in 0..<images.count {
      let image = images[index]
      guard let point = image.pending else { continue }
      image.branches = guidance.branches(at: .init(point: point, evaluation: image.moments))
      let state = image.run.modelInput
      for branch in 0..<image.branches.count {
        requests.append(
          DenoiserRequest(state: state, time: point, image: index, branch: image.branches[branch]))
      }
    }
  }

  /// Hands the model's outputs over: one per request, and as many variances where they are read.
  @inlinable func supply(_ outputs: [State]) throws {
    guard fit(outputs) else {
      throw SamplingError.wrongModelOutput(
        found: "\(outputs.count) outputs of shapes \(Set(outputs.map { $0.shape }))",
        expected: "\(outputCount) of \(requests[0].state.shape)")
    }
    var next = 0
    for index in 0..<images.count {
      let image = images[index]
      guard let point = image.pending.take() else { continue }
      let range = next..<next + image.branches.count
      let own = BranchOutputs(outputs[range], of: image.branches, state: image.run.modelInput)
      next = range.upperBound
      let moment = GuidanceMoment(point: point, evaluation: image.moments)
      let output = guidance.guided(own, prediction: prediction, at: moment, memory: &image.memory)
      image.run.supply(
        output, unguided: own.contains(.unconditional) ? own[.unconditional] : output,
        variance: readsVariance ? outputs[requests.count + range.lowerBound + varianceBranch(of: image)] : nil)
      image.evaluations += image.branches.count
      image.moments += 1
    }
    requests.removeAll(keepingCapacity: true)
  }

  /// Guidance moves the mean; the variance is that of the prompt, as in DeepFloyd IF and DiT.
  @inlinable func varianceBranch(of image: Image) -> Int {
    image.branches.firstIndex(of: .conditional) ?? 0
  }

  @inlinable var outputCount: Int { readsVariance ? 2 * requests.count : requests.count }

  @inlinable func fit(_ outputs: [State]) -> Bool {
    guard outputs.count == outputCount else { return false }
    for index in 0..<outputs.count where outputs[index].shape != requests[index % requests.count].state.shape {
      return false
    }
    return true
  }

  @inlinable func progress() -> SamplingProgress<State> {
    var (step, evaluations) = (0, 0)
    var noisiest: TimePoint?
    for index in 0..<images.count {
      let image = images[index]
      step = max(step, image.step)
      evaluations += image.evaluations
      states.append(image.run.state)
      if let point = image.point, noisiest.map({ $0.noiseToSignal < point.noiseToSignal }) ?? true {
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
  @inlinable func guided<State: Tensor>(
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
