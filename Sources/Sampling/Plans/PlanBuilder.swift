/// What a solver writes its plan into.
public struct PlanBuilder {
  public typealias Operand = PlanExpression.Operand

  /// What the model was trained to return.
  public let prediction: Prediction
  let limit: Double?
  private(set) var operations: [SamplingPlan.Operation] = []
  /// Where the state lies now. Register 0 is the starting state.
  private(set) var state = 0
  private var registerCount = 1
  private var stepCount = 0
  private var noiseCount: UInt32 = 0

  init(prediction: Prediction, limit: Double?) {
    self.prediction = prediction
    self.limit = limit
  }

  /// The model's output at one point, in the form it came.
  public struct ModelOutput: Sendable {
    let output: Int
    let input: Int
    let point: TimePoint
  }

  /// Evaluates the model on the state, or on a stage of the step under way.
  public mutating func evaluate(at point: TimePoint, of operand: Operand = .state) -> ModelOutput {
    let input = register(of: operand)
    let output = newRegister()
    operations.append(.evaluate(.init(input: .init(input), point: point, output: .init(output))))
    return ModelOutput(output: output, input: input, point: point)
  }

  /// Evaluates the model and converts its output.
  public mutating func evaluate(_ target: Prediction, at point: TimePoint, of operand: Operand = .state) -> Operand {
    let output = evaluate(at: point, of: operand)
    return convert(output, to: target)
  }

  /// The model's output as another prediction; a clean image is clipped where the plan asks for it.
  public mutating func convert(_ output: ModelOutput, to target: Prediction) -> Operand {
    if target == prediction, limit == nil || target != .sample { return .register(output.output) }
    let (state, raw) = prediction.coefficients(to: target, at: output.point)
    let terms: [SamplingPlan.Combination.Term] = [
      .init(coefficient: state, register: .init(output.input)), .init(coefficient: raw, register: .init(output.output)),
    ]
    let register = newRegister()
    operations.append(
      .combine(
        .init(
          terms: terms.filter { $0.coefficient != 0 }, limit: target == .sample ? limit : nil, output: .init(register)))
    )
    return .register(register)
  }

  /// An intermediate tensor: the state of a stage inside a step, or a sum that is used again.
  public mutating func stage(_ expression: PlanExpression) -> Operand {
    append(expression, completedStep: nil)
  }

  /// Makes `expression` the state and completes a step.
  public mutating func step(_ expression: PlanExpression) {
    stepCount += 1
    state = register(of: append(expression, completedStep: stepCount))
  }

  /// The state as it is now, to be used after later steps have replaced it.
  public var currentState: Operand { .register(state) }

  private mutating func append(_ expression: PlanExpression, completedStep: Int?) -> Operand {
    var terms: [SamplingPlan.Combination.Term] = []
    var noise: SamplingPlan.Combination.Noise?
    for (operand, coefficient) in expression.coefficients where coefficient != 0 {
      if operand == .noise {
        noiseCount += 1
        noise = .init(coefficient: coefficient, stream: noiseCount)
      } else {
        terms.append(.init(coefficient: coefficient, register: .init(register(of: operand))))
      }
    }
    let register = newRegister()
    operations.append(
      .combine(.init(terms: terms, noise: noise, output: .init(register), completedStep: completedStep)))
    return .register(register)
  }

  private func register(of operand: Operand) -> Int {
    switch operand {
    case .state: state
    case .register(let index): index
    case .noise: preconditionFailure("a model is never evaluated on noise alone")
    }
  }

  private mutating func newRegister() -> Int {
    defer { registerCount += 1 }
    return registerCount
  }
}
