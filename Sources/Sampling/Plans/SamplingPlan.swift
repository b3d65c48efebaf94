/// A compiled sampler: evaluations of a model and linear combinations, with every coefficient computed.
///
/// A plan is a value. It has no hidden state, can be printed as a table, compared, stored and run any number of times
/// at once.
public struct SamplingPlan: Hashable, Sendable {
  /// The solver's name.
  public let solver: String
  /// What the model is expected to return.
  public let prediction: Prediction
  /// The times visited, noisiest first: one more than there are steps.
  public let grid: [TimePoint]
  public internal(set) var operations: [Operation]
  /// How many tensors a run holds at once.
  public let registerCount: Int
  /// Where the state lies before the first operation and after the last.
  public let input: Register
  public let output: Register

  /// A place for one tensor during a run.
  public struct Register: Hashable, Sendable {
    public let index: Int

    public init(_ index: Int) {
      self.index = index
    }
  }

  public enum Operation: Hashable, Sendable {
    case evaluate(Evaluation)
    case combine(Combination)
    case estimate(Estimate)
  }

  /// output := model(input, at: point)
  public struct Evaluation: Hashable, Sendable, Codable {
    public var input: Register
    public var point: TimePoint
    public var output: Register
    /// Where the unconditional output goes, if the solver has a use for it.
    public var unguided: Register?
    /// Where the model's second output goes, what it has learned of the variance, if the solver has a use for it.
    public var variance: Register?
  }

  /// output := bound(Σ coefficient × register + Σ coefficient × deviation × z)
  public struct Combination: Hashable, Sendable, Codable {
    public struct Term: Hashable, Sendable, Codable {
      public var coefficient: Double
      public var register: Register
    }

    public var terms: [Term]
    /// Standard normal noise, where the solver is stochastic.
    public var noises: [Noise] = []
    /// How the sum is kept in range, where it is a prediction of the clean image.
    public var bound: SampleBound?
    public var output: Register
    /// The number of steps, counted from 1, that are complete after this operation.
    public var completedStep: Int?

    public struct Noise: Hashable, Sendable, Codable {
      public var coefficient: Double
      /// Stream of the noise field: 0 is the starting noise, 1, 2, 3 ... are independent draws, and those from 2^31 are
      /// the normals of a Brownian path.
      public var stream: UInt32
      /// What each element of z is multiplied by; nil for 1.
      public var deviation: LearnedDeviation?
    }

    /// e^(offset + slope × register), element by element: a standard deviation of which a model has learned the
    /// logarithm.
    public struct LearnedDeviation: Hashable, Sendable, Codable {
      public var register: Register
      public var slope: Double
      public var offset: Double
    }
  }

  /// error of the step := root mean square of Σ coefficient × register
  public struct Estimate: Hashable, Sendable, Codable {
    public var terms: [Combination.Term]
    /// The step, counted from 1, whose local error this estimates.
    public var step: Int
  }

  /// The state before the first operation is this times standard normal noise: the root of alpha² + sigma² at the
  /// first point, right for data of unit variance.
  public var initialScale: Double { grid[0].standardDeviation }

  /// The number of steps.
  public var stepCount: Int { grid.count - 1 }

  /// NFE: how often the model is evaluated for one image, each branch of guidance counting apart.
  public var evaluationCount: Int {
    operations.count { if case .evaluate = $0 { true } else { false } }
  }

  /// Where the model is evaluated, in order.
  public var evaluatedPoints: [TimePoint] {
    operations.compactMap { if case .evaluate(let evaluation) = $0 { evaluation.point } else { nil } }
  }

  /// Whether the result depends on noise other than the starting noise.
  public var isStochastic: Bool {
    operations.contains { if case .combine(let combination) = $0 { !combination.noises.isEmpty } else { false } }
  }

  /// Whether the model is to return what it has learned of the variance too.
  public var readsVariance: Bool {
    operations.contains { if case .evaluate(let evaluation) = $0 { evaluation.variance != nil } else { false } }
  }

  /// Whether its noise is that of a Brownian path.
  public var usesBrownianPath: Bool {
    operations.contains { operation in
      guard case .combine(let combination) = operation else { return false }
      return combination.noises.contains { $0.stream >= BrownianPath.firstStream }
    }
  }

  /// Compiles `solver` on the times that `grid` visits of `path`, for a model that returns `prediction`.
  ///
  /// - Parameters:
  ///   - bound: keeps every prediction of the clean image in range before it is used; most latent models want none.
  ///   - noise: how the draws of a stochastic solver hang together.
  ///   - estimatesErrors: whether a run reports the local errors of those solvers that estimate them. An estimate costs
  ///     no evaluation, but as much of the executor's time as the step itself.
  /// - Throws: `SamplingError` where the grid does not fit the path or the solver does not fit the grid.
  public init(
    _ solver: some Solver, on path: some NoisePath, grid: some Grid, prediction: Prediction = .epsilon,
    bound: SampleBound? = nil, noise: NoiseCorrelation = .independent, estimatesErrors: Bool = true
  ) throws(SamplingError) {
    try self.init(
      solver, at: grid.points(on: path), on: path, prediction: prediction, bound: bound, noise: noise,
      estimatesErrors: estimatesErrors)
  }

  /// Compiles `solver` on the times given, noisiest first; a solver that inverts, on rising ones.
  ///
  /// - Parameters:
  ///   - path: the noise path they lie on, for solvers that visit points between them; without it those are
  ///     interpolated.
  ///   - estimatesErrors: as in ``init(_:on:grid:prediction:bound:noise:estimatesErrors:)``, and so the others.
  /// - Throws: `SamplingError` where the times are not a monotone list of two or more, do not fit the solver, or give
  ///   a coefficient that is not finite.
  public init(
    _ solver: some Solver, at points: [TimePoint], on path: (any NoisePath)? = nil,
    prediction: Prediction = .epsilon, bound: SampleBound? = nil, noise: NoiseCorrelation = .independent,
    estimatesErrors: Bool = true
  ) throws(SamplingError) {
    let steps = try GridSteps(points, on: path)
    guard steps.areRising == solver.isInversion else {
      throw .incompatible(
        solver: solver.name,
        reason: "its grid must \(solver.isInversion ? "rise" : "fall") in noise level")
    }
    if let fault = bound?.fault {
      throw .invalidOption(name: "the bound of the clean image", found: fault.found, expected: fault.expected)
    }
    var builder = PlanBuilder(
      prediction: prediction, bound: bound, correlation: noise, estimatesErrors: estimatesErrors)
    try solver.compile(steps, into: &builder)
    let schedule = builder.schedule(results: [builder.state])
    if prediction == .epsilon, let point = builder.evaluatedPoints.first(where: { $0.alpha == 0 }) {
      throw .incompatible(
        solver: solver.name,
        reason:
          "the model predicts ε, which says nothing about the image at timestep \(point.timestep), where alpha is 0")
    }
    self.solver = solver.name
    self.prediction = prediction
    self.grid = points
    self.operations = schedule.operations
    self.registerCount = schedule.count
    self.input = schedule.input
    self.output = schedule.outputs[0]
    // Repeated points and predictions that leave something undetermined divide by zero.
    if let fault { throw .incompatible(solver: solver.name, reason: fault) }
  }
}
