import Tensors

/// One image's tensors and the operations that work on them: what all runs have in common, be their steps planned or
/// chosen on the way.
struct RegisterMachine<State: Tensor> {
  private let field: NoiseField
  private let noise: NoiseSource<State>
  private let shape: Shape
  private var operations: [SamplingPlan.Operation] = []
  private var position = 0
  private var registers: [State?] = []
  /// Kept between operations for its memory.
  private var scratch = LinearCombination<State>([])
  /// The newest estimate of a local error.
  private var difference: State?
  /// The local errors so far, each carried on to the point given.
  private var accumulated: (error: State, point: TimePoint)?
  private var spare: State?

  /// What an operation leaves for the run to take note of.
  enum Event {
    /// The model is to be evaluated; ``supply(_:unguided:)`` goes on.
    case evaluation(SamplingPlan.Evaluation)
    case combination(SamplingPlan.Combination)
    case estimate(SamplingPlan.Estimate, error: Double)
    /// No operation is left.
    case finished
  }

  init(field: NoiseField, noise: NoiseSource<State>, shape: Shape) {
    self.field = field
    self.noise = noise
    self.shape = shape
  }

  /// Begins a list of operations. The registers keep what they hold.
  mutating func load(_ operations: [SamplingPlan.Operation], registerCount: Int) {
    self.operations = operations
    position = 0
    while registers.count < registerCount { registers.append(nil) }
  }

  subscript(register: SamplingPlan.Register) -> State {
    get {
      guard let state = registers[register.index] else {
        preconditionFailure("\(register) is read before it is written")
      }
      return state
    }
    set { registers[register.index] = newValue }
  }

  mutating func exchange(_ first: SamplingPlan.Register, _ second: SamplingPlan.Register) {
    registers.swapAt(first.index, second.index)
  }

  mutating func advance() -> Event {
    guard position < operations.count else { return .finished }
    switch operations[position] {
    case .evaluate(let evaluation):
      return .evaluation(evaluation)
    case .combine(let combination):
      position += 1
      apply(combination)
      return .combination(combination)
    case .estimate(let estimate):
      position += 1
      var sum = difference.take() ?? State(zeros: shape)
      assign(estimate.terms, noises: [], to: &sum)
      difference = sum
      return .estimate(estimate, error: sum.rootMeanSquare())
    }
  }

  /// Hands over the outputs of the evaluation that the last event asked for.
  mutating func supply(_ output: State, unguided: State) {
    guard position < operations.count, case .evaluate(let evaluation) = operations[position] else {
      preconditionFailure("an output is supplied that nobody asked for")
    }
    registers[evaluation.output.index] = output
    if let register = evaluation.unguided { registers[register.index] = unguided }
    position += 1
  }

  /// Adds the newest estimate, of a step that ends at `point`, to the image's error.
  mutating func accumulateError(at point: TimePoint) {
    guard let difference else { return }
    // Into another tensor than the last sum's, which is read: the two take turns.
    var sum = spare.take() ?? State(zeros: shape)
    scratch.terms.append(.init(1, difference))
    if let accumulated {
      let carry = point.standardDeviation / accumulated.point.standardDeviation
      scratch.terms.append(.init(carry, accumulated.error))
    }
    sum.assign(scratch)
    scratch.terms.removeAll(keepingCapacity: true)
    spare = accumulated?.error
    accumulated = (sum, point)
  }

  /// The root mean square of the errors accumulated; nil where there are none.
  func accumulatedError(at end: TimePoint) -> Double? {
    accumulated.map { $0.error.rootMeanSquare() * end.standardDeviation / $0.point.standardDeviation }
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
