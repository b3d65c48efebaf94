/// What a solver writes its plan into.
public struct PlanBuilder: Sendable {
  public typealias Operand = PlanExpression.Operand

  /// What the model was trained to return.
  public let prediction: Prediction
  let bound: SampleBound?
  private(set) var operations: [SamplingPlan.Operation] = []
  /// Where the state lies now. Register 0 is the starting state.
  private(set) var state = 0
  private var registerCount = 1
  private var stepCount = 0
  private var draws: NoiseDraws
  private var completesSteps = true
  private let estimatesErrors: Bool
  /// What the model has said of the starting state, if it has been asked: register 1.
  private var known: ModelOutput?
  /// What it is asked last.
  private(set) var newest: ModelOutput?

  /// - Parameter known: where the model has been evaluated on the starting state, if it has.
  init(
    prediction: Prediction, bound: SampleBound?, correlation: NoiseCorrelation = .independent,
    estimatesErrors: Bool = true, known: TimePoint? = nil
  ) {
    self.prediction = prediction
    self.bound = bound
    self.estimatesErrors = estimatesErrors
    draws = NoiseDraws(correlation)
    if let known {
      self.known = ModelOutput(output: 1, input: 0, point: known)
      registerCount = 2
    }
  }

  /// Where the model is evaluated.
  var evaluatedPoints: [TimePoint] {
    operations.compactMap { if case .evaluate(let evaluation) = $0 { evaluation.point } else { nil } }
  }

  /// The model's output at one point, in the form it came.
  public struct ModelOutput: Sendable {
    let output: Int
    let input: Int
    public let point: TimePoint

    /// The output as it is.
    public var operand: Operand { .register(output) }
  }

  /// Evaluates the model on the state, or on a stage of the step under way.
  public mutating func evaluate(at point: TimePoint, of operand: Operand = .state) -> ModelOutput {
    let input = register(of: operand)
    if let known, known.input == input, known.point == point { return known }
    let result = ModelOutput(output: newRegister(), input: input, point: point)
    operations.append(.evaluate(.init(input: .init(input), point: point, output: .init(result.output))))
    newest = result
    return result
  }

  /// Evaluates the model once, for the guided output and for the one that guidance starts from, the unconditional one.
  /// Both are the same where there is no guidance.
  public mutating func evaluateWithUnguided(
    at point: TimePoint, of operand: Operand = .state
  ) -> (guided: ModelOutput, unguided: ModelOutput) {
    let input = register(of: operand)
    let (output, unguided) = (newRegister(), newRegister())
    operations.append(
      .evaluate(.init(input: .init(input), point: point, output: .init(output), unguided: .init(unguided))))
    return (
      ModelOutput(output: output, input: input, point: point),
      ModelOutput(output: unguided, input: input, point: point)
    )
  }

  /// Evaluates the model once, for its prediction and for what it has learned of the variance, as it comes.
  public mutating func evaluateWithVariance(at point: TimePoint) -> (prediction: ModelOutput, variance: Operand) {
    let (output, variance) = (newRegister(), newRegister())
    operations.append(
      .evaluate(.init(input: .init(state), point: point, output: .init(output), variance: .init(variance))))
    return (ModelOutput(output: output, input: state, point: point), .register(variance))
  }

  /// Evaluates the model and converts its output.
  public mutating func evaluate(_ target: Prediction, at point: TimePoint, of operand: Operand = .state) -> Operand {
    let output = evaluate(at: point, of: operand)
    return convert(output, to: target)
  }

  /// The model's output as another prediction; a clean image is kept in range where the plan asks for it.
  public mutating func convert(_ output: ModelOutput, to target: Prediction) -> Operand {
    if target == prediction, bound == nil || target != .sample { return .register(output.output) }
    let (state, raw) = prediction.coefficients(to: target, at: output.point)
    let terms: [SamplingPlan.Combination.Term] = [
      .init(coefficient: state, register: .init(output.input)), .init(coefficient: raw, register: .init(output.output)),
    ]
    let register = newRegister()
    operations.append(
      .combine(
        .init(
          terms: terms.filter { $0.coefficient != 0 }, bound: target == .sample ? bound : nil, output: .init(register)))
    )
    return .register(register)
  }

  /// An intermediate tensor: the state of a stage inside a step, or a sum that is used again.
  public mutating func stage(_ expression: PlanExpression) -> Operand {
    append(expression, completedStep: nil)
  }

  /// A clean image that is a sum, kept in range where the plan asks for it.
  public mutating func boundedSample(_ expression: PlanExpression) -> Operand {
    append(expression, bound: bound, completedStep: nil)
  }

  /// Makes `expression` the state and completes a step.
  ///
  /// - Parameter keepsNoise: whether the next step may begin where this one does, so that its noise has to contain this
  ///   one's.
  public mutating func step(_ expression: PlanExpression, keepsNoise: Bool = false) {
    if completesSteps { stepCount += 1 }
    state = register(of: append(expression, completedStep: completesSteps ? stepCount : nil))
    if !keepsNoise { draws.forgetIntervals() }
  }

  /// Makes `expression` the state without completing a step: for what is corrected, or taken anew, within one.
  public mutating func move(_ expression: PlanExpression) {
    state = register(of: append(expression, completedStep: nil))
  }

  /// Writes steps that complete none of the grid's: for a part of the way that is repeated.
  public mutating func withinStep(
    _ body: (inout PlanBuilder) throws(SamplingError) -> Void
  ) throws(SamplingError) {
    let outer = completesSteps
    completesSteps = false
    defer { completesSteps = outer }
    try body(&self)
  }

  /// The state as it is now, to be used after later steps have replaced it.
  public var currentState: Operand { .register(state) }

  /// Has a run report the root mean square of `expression`, an estimate of a step's local error: the difference between
  /// two results of different order.
  ///
  /// - Parameter ofLastStep: whether the step is the one completed last, or the one that is completed next.
  public mutating func estimateError(_ expression: PlanExpression, ofLastStep: Bool = false) {
    let terms = sum(expression).terms
    // What is repeated has no step of its own to estimate.
    guard !terms.isEmpty, completesSteps, estimatesErrors else { return }
    operations.append(.estimate(.init(terms: terms, step: ofLastStep ? stepCount : stepCount + 1)))
  }

  private mutating func append(
    _ expression: PlanExpression, bound: SampleBound? = nil, completedStep: Int?
  ) -> Operand {
    let (terms, noises) = sum(expression)
    let register = newRegister()
    operations.append(
      .combine(
        .init(
          terms: terms, noises: noises, bound: bound, output: .init(register), completedStep: completedStep)))
    return .register(register)
  }

  private mutating func sum(
    _ expression: PlanExpression
  ) -> (terms: [SamplingPlan.Combination.Term], noises: [SamplingPlan.Combination.Noise]) {
    var terms: [SamplingPlan.Combination.Term] = []
    var noises: [SamplingPlan.Combination.Noise] = []
    for (operand, coefficient) in expression.coefficients where coefficient != 0 {
      let drawn: [SamplingPlan.Combination.Noise]
      var deviation: SamplingPlan.Combination.LearnedDeviation?
      switch operand {
      case .noise: drawn = [draws.fresh()]
      case .increment(let from, let to): drawn = draws.increment(from: from, to: to)
      case .learnedNoise(let from, let to, let variance, let slope, let offset):
        drawn = draws.increment(from: from, to: to)
        deviation = .init(register: .init(variance), slope: slope, offset: offset)
      case .state, .register:
        terms.append(.init(coefficient: coefficient, register: .init(register(of: operand))))
        continue
      }
      for draw in drawn {
        if let index = noises.firstIndex(where: { $0.stream == draw.stream && $0.deviation == deviation }) {
          noises[index].coefficient += coefficient * draw.coefficient
        } else {
          noises.append(
            .init(coefficient: coefficient * draw.coefficient, stream: draw.stream, deviation: deviation))
        }
      }
    }
    return (terms, noises)
  }

  private func register(of operand: Operand) -> Int {
    switch operand {
    case .state: state
    case .register(let index): index
    case .noise, .increment, .learnedNoise: preconditionFailure("a model is never evaluated on noise alone")
    }
  }

  private mutating func newRegister() -> Int {
    defer { registerCount += 1 }
    return registerCount
  }
}
