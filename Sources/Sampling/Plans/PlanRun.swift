import Tensors

/// An image on its way through a plan.
final class PlanRun<State: Tensor>: ImageRun {
  private let plan: SamplingPlan
  private var machine: RegisterMachine<State>
  private var lastState: SamplingPlan.Register
  private var asked: SamplingPlan.Register
  private(set) var stepErrors: [SamplingResult<State>.StepError] = []

  init(_ plan: SamplingPlan, state: State, field: NoiseField, noise: NoiseSource<State>) {
    self.plan = plan
    machine = RegisterMachine(field: field, noise: noise, shape: state.shape)
    machine.load(plan.operations, registerCount: plan.registerCount)
    machine[plan.input] = state
    lastState = plan.input
    asked = plan.input
    stepErrors.reserveCapacity(plan.stepCount)
  }

  var stepCount: Int? { plan.stepCount }
  var rejectedSteps: Int { 0 }
  var errorEstimate: Double? { machine.accumulatedError(at: plan.grid[plan.stepCount]) }
  /// As of the last step completed, or of the end.
  var state: State { machine[lastState] }
  var modelInput: State { machine[asked] }

  func advance() -> RunEvent {
    while true {
      switch machine.advance() {
      case .evaluation(let evaluation):
        asked = evaluation.input
        return .evaluation(at: evaluation.point)
      case .combination(let combination):
        guard let step = combination.completedStep else { continue }
        lastState = combination.output
        return .step(step, plan.grid[step])
      case .estimate(let estimate):
        let point = plan.grid[estimate.step]
        let error = machine.accumulate(estimate, at: point)
        stepErrors.append(.init(step: estimate.step, point: point, error: error))
      case .finished:
        lastState = plan.output
        return .finished
      }
    }
  }

  func supply(_ output: State, unguided: State) {
    machine.supply(output, unguided: unguided)
  }
}
