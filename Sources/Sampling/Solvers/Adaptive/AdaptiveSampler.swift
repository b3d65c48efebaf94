import RealModule
import Tensors

/// Samples with steps as long as an error tolerance allows, chosen for each image on its own.
///
/// From its start the probability-flow ODE is followed to the path's least noise; the state there is replaced by the
/// model's prediction of the clean image, a step that is exact for ideal models up to what that noise hides. The
/// tolerance is for the ODE.
///
/// An image's steps depend on nothing but the image: it comes out the same alone and among others, which then stand at
/// other times. No image takes more evaluations than the budget. Where what is left of it does not suffice for steps of
/// the length that the tolerance wants, equal steps of a solver without tolerance take the image to the end.
public struct AdaptiveSampler: Sendable {
  public let pair: any EmbeddedPair
  public let path: any NoisePath
  /// What the model was trained to return.
  public let prediction: Prediction
  public let tolerance: ErrorTolerance
  public let controller: StepController
  /// The most evaluations for one image, each branch of guidance counting apart, as in a plan's `evaluationCount`.
  public let budget: Int
  public let bound: SampleBound?
  /// Where the ODE begins and ends.
  public let start: TimePoint
  public let end: TimePoint
  /// Whether the clean image takes the place of the state at ``end``.
  public let endsClean: Bool

  /// - Parameters:
  ///   - pair: what to step with.
  ///   - budget: the most evaluations for one image.
  ///   - prediction: what the model returns.
  ///   - bound: keeps every prediction of the clean image in range before it is used.
  ///   - start: where to begin; nil for the path's most noise.
  ///   - end: where the ODE ends, a point with noise; nil for the path's least.
  ///   - endsClean: whether a last step takes the state to sigma 0.
  /// - Throws: ``SamplingError`` where the path has no such points, the pair cannot step between them, or the budget
  ///   is not positive.
  public init(
    _ pair: any EmbeddedPair, on path: any NoisePath, tolerance: ErrorTolerance,
    controller: StepController = .proportionalIntegral, budget: Int = 1000, prediction: Prediction = .epsilon,
    bound: SampleBound? = nil, from start: TimePoint? = nil, to end: TimePoint? = nil, endsClean: Bool = true
  ) throws(SamplingError) {
    guard budget > 0 else {
      throw .invalidOption(name: "the budget of evaluations", found: "\(budget)", expected: "1 or more")
    }
    if let fault = bound?.fault {
      throw .invalidOption(name: "the bound of the clean image", found: fault.found, expected: fault.expected)
    }
    self.pair = pair
    self.path = path
    self.prediction = prediction
    self.tolerance = tolerance
    self.controller = controller
    self.budget = budget
    self.bound = bound
    self.start = start ?? path.point(at: path.timesteps.upperBound)
    self.end = end ?? path.leastNoise
    self.endsClean = endsClean
    guard !self.end.isClean, self.end.noiseToSignal < self.start.noiseToSignal else {
      throw .invalidGrid("goes from \(self.start) to \(self.end), and must fall and keep some noise")
    }
    try pair.check(from: self.start, to: self.end)
    // Everything a run compiles divides by what these two do.
    let trials = [try trial(from: self.start, to: self.end), try finish(from: self.start, evaluations: 2)]
    guard trials.allSatisfy({ $0.operations.allSatisfy { $0.coefficients.allSatisfy(\.isFinite) } }) else {
      throw .incompatible(
        solver: pair.name, reason: "a \(prediction.rawValue) prediction leaves a coefficient infinite")
    }
  }

  /// Samples one image per noise field.
  ///
  /// - Parameters:
  ///   - fields: where each image's starting noise comes from; the streams given here are not used.
  ///   - shape: of one image, such as `[height, width, channels]`.
  ///   - initial: what to start from.
  ///   - guidance: how the model's branches are combined.
  ///   - noise: what stands for the fields' noise.
  ///   - observe: called after every round of evaluations in which an image has completed a step.
  ///   - denoise: the model: one output per request, in order, of the request's shape. The requests of one call stand
  ///     at different times.
  /// - Throws: `CancellationError`, ``SamplingError/wrongModelOutput(found:expected:)``, and what the model throws.
  public nonisolated(nonsending) func sample<State: Tensor>(
    fields: [NoiseField], shape: Shape, start initial: SamplingStart<State> = .noise,
    guidance: some Guidance = Unguided(), noise: NoiseSource<State> = .field,
    observe: (SamplingProgress<State>) throws -> Void = { _ in },
    denoise: ([DenoiserRequest<State>]) async throws -> [State]
  ) async throws -> [SamplingResult<State>] {
    try guidance.check(prediction, at: [start])
    let states = try startingStates(fields: fields, shape: shape, start: initial, noise: noise, at: start)
    let runs = zip(states, fields).map { AdaptiveRun(self, state: $0, field: $1, noise: noise) }
    let loop = SamplingLoop(runs, guidance: guidance, prediction: prediction)
    return try await loop.run(observe: observe, denoise: denoise)
  }

  /// A step of the pair.
  func trial(from s: TimePoint, to t: TimePoint) throws(SamplingError) -> TrialStep {
    try TrialStep(from: s, to: t, prediction: prediction, bound: bound) { plan throws(SamplingError) in
      pair.step(from: s, to: t, on: path, into: &plan)
    }
  }

  /// The rest of the way in equal steps, with so many evaluations beyond the one at `s`.
  func finish(from s: TimePoint, evaluations: Int) throws(SamplingError) -> TrialStep {
    let points = finishingPoints(from: s, evaluations: evaluations)
    let flow: any Solver = evaluations == 0 ? FlowRungeKutta(.euler) : FlowRungeKutta(.midpoint)
    let solver: any Solver = s.alpha > 0 ? try DPMSolverMultistep(.sample, order: 2) : flow
    return try TrialStep(
      from: s, to: points[points.count - 1], prediction: prediction, bound: bound
    ) { plan throws(SamplingError) in
      try solver.compile(GridSteps(points), into: &plan)
    }
  }

  func finishingPoints(from s: TimePoint, evaluations: Int) -> [TimePoint] {
    let last = endsClean ? path.clean : end
    guard s != end else { return [s, last] }
    // A step of two evaluations where exponential integrators have no start.
    let count = s.alpha > 0 ? evaluations + 1 : max((evaluations + 1) / 2, 1)
    let (from, to) = (pair.clock.reading(s), pair.clock.reading(end))
    return [s]
      + (1..<count).map {
        pair.clock.point(at: from + (to - from) * Double($0) / Double(count), on: path)
      } + [last]
  }
}

extension NoisePath {
  /// The end with the least noise that is some.
  var leastNoise: TimePoint {
    let first = point(at: timesteps.lowerBound)
    return first.isClean ? point(at: timesteps.lowerBound + 1) : first
  }
}
