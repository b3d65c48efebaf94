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
  /// The root mean square of the local errors' sum, each carried to the end.
  var errorEstimate: Double? { get }
  var rejectedSteps: Int { get }
}

enum RunEvent<State: Tensor> {
  /// The model is to be evaluated.
  case evaluation(State, at: TimePoint)
  /// A step, counted from 1, is complete, and its end is reached.
  case step(Int, TimePoint)
  case finished
}
