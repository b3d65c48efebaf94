import Tensors

/// One image on its way: what the executor drives, be its steps planned or chosen as it goes.
protocol ImageRun<State> {
  associatedtype State: Tensor

  /// Goes on to the next thing that concerns the executor.
  mutating func advance() -> RunEvent<State>

  /// Hands over the outputs that the last evaluation event asked for.
  mutating func supply(_ output: State, unguided: State)

  /// Steps in all, where they are known.
  var stepCount: Int? { get }
  var state: State { get }
  var stepErrors: [SamplingResult<State>.StepError] { get }
  var rejectedSteps: Int { get }
}

enum RunEvent<State: Tensor> {
  /// The model is to be evaluated.
  case evaluation(State, at: TimePoint)
  /// A step, counted from 1, is complete, and its end is reached.
  case step(Int, TimePoint)
  case finished
}

/// An image on its way through a plan.
struct PlanRun<State: Tensor>: ImageRun {
  private let plan: SamplingPlan
  private let field: NoiseField
  private let noise: NoiseSource<State>
  private let shape: Shape
  private var registers: [State?]
  private var position = 0
  private var lastState: SamplingPlan.Register
  private(set) var stepErrors: [SamplingResult<State>.StepError] = []
  /// Kept between steps for its memory.
  private var scratch = LinearCombination<State>([])
  private var difference: State?

  init(_ plan: SamplingPlan, state: State, field: NoiseField, noise: NoiseSource<State>) {
    self.plan = plan
    self.field = field
    self.noise = noise
    shape = state.shape
    registers = Array(repeating: nil, count: plan.registerCount)
    registers[plan.input.index] = state
    lastState = plan.input
  }

  var stepCount: Int? { plan.stepCount }
  var rejectedSteps: Int { 0 }
  /// As of the last step completed, or of the end.
  var state: State { self[lastState] }

  mutating func advance() -> RunEvent<State> {
    while position < plan.operations.count {
      switch plan.operations[position] {
      case .evaluate(let evaluation):
        return .evaluation(self[evaluation.input], at: evaluation.point)
      case .combine(let combination):
        position += 1
        apply(combination)
        if let step = combination.completedStep {
          lastState = combination.output
          return .step(step, plan.grid[step])
        }
      case .estimate(let estimate):
        position += 1
        var sum = difference.take() ?? State(zeros: shape)
        assign(estimate.terms, noises: [], to: &sum)
        stepErrors.append(.init(step: estimate.step, point: plan.grid[estimate.step], error: sum.rootMeanSquare()))
        difference = sum
      }
    }
    lastState = plan.output
    return .finished
  }

  mutating func supply(_ output: State, unguided: State) {
    guard case .evaluate(let evaluation) = plan.operations[position] else {
      preconditionFailure("an output is supplied that nobody asked for")
    }
    registers[evaluation.output.index] = output
    if let register = evaluation.unguided { registers[register.index] = unguided }
    position += 1
  }

  private subscript(register: SamplingPlan.Register) -> State {
    guard let state = registers[register.index] else {
      preconditionFailure("\(register) is read before it is written")
    }
    return state
  }

  private mutating func apply(_ combination: SamplingPlan.Combination) {
    // The register's last tensor is dead: taken out, its memory is this one's alone and can be written again.
    var result = registers[combination.output.index].take() ?? State(zeros: shape)
    assign(combination.terms, noises: combination.noises, to: &result)
    combination.bound?.apply(to: &result)
    registers[combination.output.index] = result
  }

  private mutating func assign(
    _ terms: [SamplingPlan.Combination.Term], noises: [SamplingPlan.Combination.Noise], to result: inout State
  ) {
    for term in terms { scratch.terms.append(.init(term.coefficient, self[term.register])) }
    for draw in noises {
      if let make = noise.draw {
        scratch.terms.append(.init(draw.coefficient, make(field, draw.stream, shape)))
      } else {
        scratch.noises.append(.init(draw.coefficient, field.with(stream: draw.stream)))
      }
    }
    result.assign(scratch)
    scratch.terms.removeAll(keepingCapacity: true)
    scratch.noises.removeAll(keepingCapacity: true)
  }
}
