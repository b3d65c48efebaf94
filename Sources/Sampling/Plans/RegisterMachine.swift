import Tensors

/// One image's tensors and the operations that work on them: what all runs have in common, be their steps planned or
/// chosen on the way.
@usableFromInline struct RegisterMachine<State: Tensor> {
  @usableFromInline let field: NoiseField
  @usableFromInline let noise: NoiseSource<State>
  @usableFromInline let shape: Shape
  @usableFromInline var operations: [SamplingPlan.Operation] = []
  @usableFromInline var position = 0
  @usableFromInline var registers: [State?] = []
  /// Kept between operations for its memory.
  @usableFromInline var scratch = LinearCombination<State>([])
  /// The newest estimate of an error measured alone.
  @usableFromInline var difference: State?
  /// The local errors so far, each carried on to `errorPoint`.
  @usableFromInline var errors: State?
  @usableFromInline var errorPoint: TimePoint?

  @inlinable init(field: NoiseField, noise: NoiseSource<State>, shape: Shape) {
    self.field = field
    self.noise = noise
    self.shape = shape
  }

  /// Begins a list of operations. The registers keep what they hold.
  @inlinable mutating func load(_ operations: [SamplingPlan.Operation], registerCount: Int) {
    self.operations = operations
    position = 0
    while registers.count < registerCount { registers.append(nil) }
  }

  @inlinable subscript(register: SamplingPlan.Register) -> State {
    get {
      if let state = registers[register.index] { return state }
      preconditionFailure("\(register) is read before it is written")
    }
    set { registers[register.index] = newValue }
  }

  @inlinable mutating func exchange(_ first: SamplingPlan.Register, _ second: SamplingPlan.Register) {
    registers.swapAt(first.index, second.index)
  }

  @inlinable mutating func advance() -> MachineEvent {
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
      return .estimate(estimate)
    }
  }

  /// Hands over the outputs of the evaluation that the last event asked for.
  @inlinable mutating func supply(_ output: State, unguided: State, variance: State?) {
    guard position < operations.count, case .evaluate(let evaluation) = operations[position] else {
      preconditionFailure("an output is supplied that nobody asked for")
    }
    registers[evaluation.output.index] = output
    if let register = evaluation.unguided { registers[register.index] = unguided }
    if let register = evaluation.variance { registers[register.index] = variance }
    position += 1
  }

  /// The root mean square of the estimate of a local error, which is added to the image's error as that of a step that
  /// ends at `point`.
  @inlinable mutating func accumulate(_ estimate: SamplingPlan.Estimate, at point: TimePoint) -> Double {
    gather(estimate.terms)
    return accumulateGathered(at: point)
  }

  /// The root mean square of the estimate of a local error, of a step that may be taken back.
  @inlinable mutating func measure(_ estimate: SamplingPlan.Estimate) -> Double {
    var sum = difference.take() ?? State(zeros: shape)
    gather(estimate.terms)
    sum.assign(scratch)
    scratch.terms.removeAll(keepingCapacity: true)
    let error = sum.rootMeanSquare()
    difference = sum
    return error
  }

  /// Adds the newest estimate measured, of a step that ends at `point`, to the image's error.
  @inlinable mutating func accumulateMeasured(at point: TimePoint) {
    guard let difference else { return }
    scratch.terms.append(.init(1, difference))
    _ = accumulateGathered(at: point)
  }

  @inlinable mutating func accumulateGathered(at point: TimePoint) -> Double {
    var sum = errors.take() ?? State(zeros: shape)
    let carry = errorPoint.map { point.errorScale / $0.errorScale } ?? 0
    let squares = sum.accumulate(scratch, carry: carry)
    scratch.terms.removeAll(keepingCapacity: true)
    errors = sum
    errorPoint = point
    return shape.count == 0 ? 0 : (squares / Double(shape.count)).squareRoot()
  }

  /// The root mean square of the errors accumulated; nil where there are none.
  @inlinable func accumulatedError(at end: TimePoint) -> Double? {
    guard let errors, let errorPoint else { return nil }
    return errors.rootMeanSquare() * end.errorScale / errorPoint.errorScale
  }

  @inlinable mutating func apply(_ combination: SamplingPlan.Combination) {
    // The register's last tensor is dead: taken out, its memory is this one's alone and can be written again.
    var result = registers[combination.output.index].take() ?? State(zeros: shape)
    gather(combination.terms)
    for draw in combination.noises {
      if let deviation = draw.deviation {
        let drawn = noise.tensor(field, stream: draw.stream, shape: shape)
        scratch.terms.append(.init(draw.coefficient, scaled(drawn, by: deviation)))
      } else if let make = noise.draw {
        scratch.terms.append(.init(draw.coefficient, make(field, draw.stream, shape)))
      } else {
        scratch.noises.append(.init(draw.coefficient, field.with(stream: draw.stream)))
      }
    }
    result.assign(scratch)
    scratch.terms.removeAll(keepingCapacity: true)
    scratch.noises.removeAll(keepingCapacity: true)
    combination.bound?.apply(to: &result)
    registers[combination.output.index] = result
  }

  @usableFromInline func scaled(_ drawn: State, by deviation: SamplingPlan.Combination.LearnedDeviation) -> State {
    func scaled<Elements: ElementTensor>(_ drawn: Elements) -> State? {
      guard let variance = self[deviation.register] as? Elements else { return nil }
      return drawn.scaled(byExponentialsOf: variance, slope: deviation.slope, offset: deviation.offset) as? State
    }
    guard let drawn = drawn as? any ElementTensor, let result = scaled(drawn) else {
      preconditionFailure("a run of \(State.self) is given a plan that reads elements")
    }
    return result
  }

  @inlinable mutating func gather(_ terms: [SamplingPlan.Combination.Term]) {
    for term in terms { scratch.terms.append(.init(term.coefficient, self[term.register])) }
  }
}

extension TimePoint {
  /// What errors grow with along the flow of Gaussian data: the noisy data's standard deviation, theirs alone being a
  /// half as in Karras et al. 2022 (arXiv:2206.00364, table 1).
  @usableFromInline var errorScale: Double { (alpha * alpha / 4 + sigma * sigma).squareRoot() }
}

/// What an operation leaves for the run to take note of.
@usableFromInline enum MachineEvent {
  /// The model is to be evaluated; ``RegisterMachine/supply(_:unguided:variance:)`` goes on.
  case evaluation(SamplingPlan.Evaluation)
  case combination(SamplingPlan.Combination)
  /// An error is to be estimated before the next operation, which may overwrite what it is made of.
  case estimate(SamplingPlan.Estimate)
  /// No operation is left.
  case finished
}
