import Tensors

/// One image on its way: what the executor drives, be its steps planned or chosen as it goes.
@usableFromInline protocol ImageRun<State>: AnyObject {
  associatedtype State: Tensor

  /// Goes on to the next thing that concerns the executor.
  func advance() -> RunEvent

  /// Hands over the outputs that the last evaluation event asked for.
  func supply(_ output: State, unguided: State, variance: State?)

  /// Steps in all, where they are known.
  var stepCount: Int? { get }
  var state: State { get }
  /// What the last evaluation event asks about.
  var modelInput: State { get }
  var stepErrors: [SamplingResult<State>.StepError] { get }
  /// The root mean square of the local errors' sum, each carried to the end.
  var errorEstimate: Double? { get }
  var rejectedSteps: Int { get }
}

@usableFromInline enum RunEvent {
  /// The model is to be evaluated on ``ImageRun/modelInput``.
  case evaluation(at: TimePoint)
  /// A step, counted from 1, is complete, and its end is reached.
  case step(Int, TimePoint)
  case finished
}
