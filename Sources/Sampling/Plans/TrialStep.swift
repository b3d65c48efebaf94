/// A step or more that an adaptive run may yet take back: operations on the state and on the model's output for it,
/// both of which outlive them.
struct TrialStep {
  static let state = SamplingPlan.Register(0)
  static let output = SamplingPlan.Register(1)

  let operations: [SamplingPlan.Operation]
  let registerCount: Int
  /// The new state.
  let result: SamplingPlan.Register
  /// The model's output for the new state, where the last evaluation was of it.
  let resultOutput: SamplingPlan.Register?

  init(
    from s: TimePoint, to t: TimePoint, prediction: Prediction, bound: SampleBound?,
    _ write: (inout PlanBuilder) throws(SamplingError) -> Void
  ) throws(SamplingError) {
    var builder = PlanBuilder(prediction: prediction, bound: bound, known: s)
    try write(&builder)
    let newest = builder.newest.flatMap { $0.point == t && $0.input == builder.state ? $0.output : nil }
    let results = [0, 1, builder.state] + [newest].compactMap(\.self)
    let schedule = builder.schedule(results: results, given: 2)
    operations = schedule.operations
    registerCount = schedule.count
    result = schedule.outputs[2]
    resultOutput = newest == nil ? nil : schedule.outputs[3]
  }
}
