/// A compiled sampler: evaluations of a model and linear combinations, with every coefficient computed.
///
/// A plan is a value. It has no hidden state, can be printed as a table, compared, stored and run any number of times
/// at once.
public struct SamplingPlan: Hashable, Sendable, Codable {
  /// The solver's name.
  public let solver: String
  /// What the model is expected to return.
  public let prediction: Prediction
  /// The times visited, noisiest first: one more than there are steps.
  public let grid: [TimePoint]
  /// The state before the first operation is this times standard normal noise: the root of alpha² + sigma² at the
  /// first point, right for data of unit variance.
  public let initialScale: Double
  public let operations: [Operation]
  /// How many tensors a run holds at once.
  public let registerCount: Int
  /// Where the state lies before the first operation and after the last.
  public let input: Register
  public let output: Register

  /// A place for one tensor during a run.
  public struct Register: Hashable, Sendable, Codable {
    public let index: Int

    public init(_ index: Int) {
      self.index = index
    }
  }

  public enum Operation: Hashable, Sendable, Codable {
    case evaluate(Evaluation)
    case combine(Combination)
  }

  /// output := model(input, at: point)
  public struct Evaluation: Hashable, Sendable, Codable {
    public var input: Register
    public var point: TimePoint
    public var output: Register
  }

  /// output := Σ coefficient × register + noise × z
  public struct Combination: Hashable, Sendable, Codable {
    public struct Term: Hashable, Sendable, Codable {
      public var coefficient: Double
      public var register: Register
    }

    public var terms: [Term]
    /// Fresh standard normal noise, where the solver is stochastic.
    public var noise: Noise?
    /// Every element is limited to ± this, where a data prediction is to be clipped.
    public var limit: Double?
    public var output: Register
    /// The number of steps, counted from 1, that are complete after this operation.
    public var completedStep: Int?

    public struct Noise: Hashable, Sendable, Codable {
      public var coefficient: Double
      /// Stream of the noise field; 0 is the starting noise.
      public var stream: UInt32
    }
  }

  /// The number of steps.
  public var stepCount: Int { grid.count - 1 }

  /// NFE: how often the model is evaluated for one image, each branch of guidance counting apart.
  public var evaluationCount: Int {
    operations.count { if case .evaluate = $0 { true } else { false } }
  }

  /// Whether the result depends on noise other than the starting noise.
  public var isStochastic: Bool {
    operations.contains { if case .combine(let combination) = $0 { combination.noise != nil } else { false } }
  }

  /// Compiles `solver` on the times that `grid` visits of `path`, for a model that returns `prediction`.
  ///
  /// - Parameter clippedTo: limits every prediction of the clean image to ± this before it is used; most latent
  ///   models want none.
  /// - Throws: `SamplingError` where the grid does not fit the path or the solver does not fit the grid.
  public init(
    _ solver: some Solver, on path: some NoisePath, grid: some Grid, prediction: Prediction = .epsilon,
    clippedTo limit: Double? = nil
  ) throws(SamplingError) {
    try self.init(solver, at: grid.points(on: path), prediction: prediction, clippedTo: limit)
  }

  /// Compiles `solver` on the times given, noisiest first.
  ///
  /// - Throws: `SamplingError` where the times are not a descending list of two or more, do not fit the solver, or give
  ///   a coefficient that is not finite.
  public init(
    _ solver: some Solver, at points: [TimePoint], prediction: Prediction = .epsilon, clippedTo limit: Double? = nil
  ) throws(SamplingError) {
    let steps = try GridSteps(points)
    if let limit, !(limit > 0 && limit.isFinite) {
      throw .invalidOption(name: "the clipping limit", found: "\(limit)", expected: "a positive number")
    }
    var builder = PlanBuilder(prediction: prediction, limit: limit)
    try solver.compile(steps, into: &builder)
    let schedule = RegisterAllocation(builder.operations, result: builder.state)
    self.solver = solver.name
    self.prediction = prediction
    self.grid = points
    self.initialScale = (points[0].alpha * points[0].alpha + points[0].sigma * points[0].sigma).squareRoot()
    self.operations = schedule.operations
    self.registerCount = schedule.count
    self.input = schedule.input
    self.output = schedule.output
    // Repeated points and predictions that leave something undetermined divide by zero.
    if let fault { throw .incompatible(solver: solver.name, reason: fault) }
  }
}
