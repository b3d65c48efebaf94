import Tensors

/// An image on its way in steps that are tried, and kept where their errors are small enough.
final class AdaptiveRun<State: Tensor>: ImageRun {
  private enum Phase {
    case evaluating
    case trying(TrialStep, to: TimePoint)
    /// On the last steps, in a list that begins with the step given.
    case finishing(TrialStep, [TimePoint], firstStep: Int)
    case finished
  }

  private let sampler: AdaptiveSampler
  private var machine: RegisterMachine<State>
  private var phase = Phase.evaluating
  private var memory = StepController.Memory()
  private var point: TimePoint
  /// The step that the controller wishes for, in the pair's clock; nil before the first.
  private var wanted: Double?
  private var lastError = 0.0
  /// Evaluations left.
  private var budget: Int
  private var step = 0
  private var current = TrialStep.state
  private var asked = TrialStep.state
  private(set) var rejectedSteps = 0
  var errorEstimate: Double? { machine.accumulatedError(at: sampler.endsClean ? sampler.path.clean : sampler.end) }
  private(set) var stepErrors: [SamplingResult<State>.StepError] = []

  init(_ sampler: AdaptiveSampler, state: State, field: NoiseField, noise: NoiseSource<State>) {
    self.sampler = sampler
    machine = RegisterMachine(field: field, noise: noise, shape: state.shape)
    point = sampler.start
    budget = sampler.budget
    evaluate()
    machine[TrialStep.state] = state
  }

  var stepCount: Int? { nil }
  var state: State { machine[current] }
  var modelInput: State { machine[asked] }

  func supply(_ output: State, unguided: State, variance: State?) {
    machine.supply(output, unguided: unguided, variance: variance)
    budget -= 1
  }

  func advance() -> RunEvent {
    while true {
      switch machine.advance() {
      case .evaluation(let evaluation):
        asked = evaluation.input
        return .evaluation(at: evaluation.point)
      case .combination(let combination):
        guard case .finishing(_, let points, let first) = phase, let completed = combination.completedStep else {
          continue
        }
        current = combination.output
        step = first + completed
        return .step(step, points[completed])
      case .estimate(let estimate):
        if case .finishing(_, let points, let first) = phase {
          let error = machine.accumulate(estimate, at: points[estimate.step])
          stepErrors.append(.init(step: first + estimate.step, point: points[estimate.step], error: error))
        } else {
          lastError = machine.measure(estimate)
        }
      case .finished:
        switch phase {
        case .evaluating:
          chooseStep()
        case .trying(let trial, let end):
          if let event = judge(trial, to: end) { return event }
        case .finishing:
          phase = .finished
          return .finished
        case .finished:
          return .finished
        }
      }
    }
  }

  /// Asks the model about the state.
  private func evaluate() {
    phase = .evaluating
    machine.load(
      [.evaluate(.init(input: TrialStep.state, point: point, output: TrialStep.output))], registerCount: 2)
  }

  // MARK: - The step to try

  private var rest: Double { sampler.pair.clock.reading(sampler.end) - sampler.pair.clock.reading(point) }

  /// How many more steps of the pair the budget allows, the model's output for the state being known.
  private var affordableSteps: Int {
    let pair = sampler.pair
    return pair.reusesLastStage
      ? budget / (pair.stages - 1) : (budget + 1 - (sampler.endsClean ? 1 : 0)) / pair.stages
  }

  /// The step to try next when the controller wishes for `wanted`; nil where the budget allows none like it.
  private func affordableStep(_ wanted: Double?) -> Double? {
    let (rest, count) = (rest, affordableSteps)
    guard count > 0 else { return nil }
    // Steps are not made of equal length, so a few shorter ones than the mean can be afforded.
    let least = rest / Double(count) / 4
    let wanted = wanted ?? max(firstStep, least)
    if wanted >= rest { return rest }
    guard wanted >= least, count > 1 else { return nil }
    // No last step that is much shorter than the one before it.
    return wanted > rest / 2 ? rest / 2 : wanted
  }

  /// A guess from the tolerance alone: the error of a step is about its length to the power of its order.
  private var firstStep: Double {
    let (tolerance, pair) = (sampler.tolerance, sampler.pair)
    let error = (tolerance.relative + tolerance.absolute) * pair.tolerancePerStep
    return pair.clock.unit * Double.pow(min(error, 1), 1 / Double(pair.lowerOrder + 1))
  }

  private func chooseStep() {
    guard point != sampler.end, let length = affordableStep(wanted) else { return finish() }
    let clock = sampler.pair.clock
    let next =
      length == rest ? sampler.end : clock.point(at: clock.reading(point) + length, on: sampler.path)
    let trial = checked { () throws(SamplingError) in try sampler.trial(from: point, to: next) }
    phase = .trying(trial, to: next)
    machine.load(trial.operations, registerCount: trial.registerCount)
  }

  private func finish() {
    guard point != sampler.end || sampler.endsClean else {
      phase = .finished
      return
    }
    let points = sampler.finishingPoints(from: point, evaluations: budget)
    let trial = checked { () throws(SamplingError) in try sampler.finish(from: point, evaluations: budget) }
    phase = .finishing(trial, points, firstStep: step)
    machine.load(trial.operations, registerCount: trial.registerCount)
  }

  /// The sampler has compiled the like when it was made.
  private func checked(_ compile: () throws(SamplingError) -> TrialStep) -> TrialStep {
    do { return try compile() } catch { preconditionFailure("\(error)") }
  }

  // MARK: - The step tried

  private func judge(_ trial: TrialStep, to end: TimePoint) -> RunEvent? {
    let pair = sampler.pair
    let error =
      sampler.tolerance.ratio(
        of: lastError, states: machine[TrialStep.state].rootMeanSquare(), machine[trial.result].rootMeanSquare())
      / pair.tolerancePerStep
    let length = pair.clock.reading(end) - pair.clock.reading(point)
    if !(error <= 1) {
      let factor = sampler.controller.reject(error, order: pair.lowerOrder + 1, memory: &memory)
      // Taken back only where the budget allows shorter steps: its last evaluations are not for a longer one.
      if affordableStep(factor * length) != nil || rest / Double(budget + 1) < length / 2 {
        rejectedSteps += 1
        wanted = factor * length
        chooseStep()
        return nil
      }
    }
    wanted = length * sampler.controller.accept(error, order: pair.lowerOrder + 1, memory: &memory)
    step += 1
    point = end
    stepErrors.append(.init(step: step, point: end, error: lastError))
    machine.accumulateMeasured(at: end)
    machine.exchange(TrialStep.state, trial.result)
    if let output = trial.resultOutput {
      machine.exchange(TrialStep.output, output)
      chooseStep()
    } else if point == sampler.end, !sampler.endsClean {
      machine.load([], registerCount: 0)
      finish()
    } else {
      evaluate()
    }
    return .step(step, end)
  }
}
