import Tensors

/// An image on its way through a plan.
@usableFromInline final class PlanRun<State: Tensor>: ImageRun {
  @usableFromInline let plan: SamplingPlan
  @usableFromInline var machine: RegisterMachine<State>
  @usableFromInline var lastState: SamplingPlan.Register
  @usableFromInline var asked: SamplingPlan.Register
  @usableFromInline var stepErrors: [SamplingResult<State>.StepError] = []

  @inlinable init(_ plan: SamplingPlan, state: State, field: NoiseField, noise: NoiseSource<State>) {
    self.plan = plan
    machine = RegisterMachine(field: field, noise: noise, shape: state.shape)
    machine.load(plan.operations, registerCount: plan.registerCount)
    machine[plan.input] = state
    lastState = plan.input
    asked = plan.input
    stepErrors.reserveCapacity(plan.stepCount)
  }

  @inlinable var stepCount: Int? { plan.stepCount }
  @inlinable var rejectedSteps: Int { 0 }
  @inlinable var errorEstimate: Double? { machine.accumulatedError(at: plan.grid[plan.stepCount]) }
  /// As of the last step completed, or of the end.
  @inlinable var state: State { machine[lastState] }
  @inlinable var modelInput: State { machine[asked] }

  @inlinable func advance() -> RunEvent {
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

  @inlinable func supply(_ output: State, unguided: State, variance: State?) {
    machine.supply(output, unguided: unguided, variance: variance)
  }
}
