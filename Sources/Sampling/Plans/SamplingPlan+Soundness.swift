extension SamplingPlan {
  /// Why the plan cannot be run; nil if it can.
  ///
  /// The executor trusts what this has passed: registers are in range and written before they are read, every step of
  /// the grid is completed once and in order, and all numbers are finite.
  var fault: String? {
    do { _ = try GridSteps(grid) } catch { return error.description }
    // An evaluation may write two.
    guard (1...2 * operations.count + 1).contains(registerCount) else { return "there are \(registerCount) registers" }
    var written: Set = [input]
    var completed = 0
    for (index, operation) in operations.enumerated() {
      let registers = operation.inputs + operation.outputs
      if let register = registers.first(where: { !(0..<registerCount).contains($0.index) }) {
        return "operation \(index) names \(register) of \(registerCount) registers"
      }
      if let register = operation.inputs.first(where: { !written.contains($0) }) {
        return "operation \(index) reads \(register), which nothing has written"
      }
      written.formUnion(operation.outputs)
      guard Set(operation.outputs).count == operation.outputs.count else {
        return "operation \(index) writes \(operation.outputs[0]) twice"
      }
      guard operation.coefficients.allSatisfy(\.isFinite) else {
        return "operation \(index) has an infinite coefficient"
      }
      if case .estimate(let estimate) = operation, !(1...stepCount).contains(estimate.step) {
        return "operation \(index) estimates the error of step \(estimate.step) of \(stepCount)"
      }
      guard case .combine(let combination) = operation else { continue }
      guard !operation.inputs.contains(combination.output) else {
        return "operation \(index) overwrites its input \(combination.output)"
      }
      if let fault = combination.bound?.fault {
        return "operation \(index) has a bound of \(fault.found), expected \(fault.expected)"
      }
      guard let step = combination.completedStep else { continue }
      guard step == completed + 1 else { return "step \(step) follows step \(completed)" }
      completed = step
    }
    guard completed == stepCount else { return "\(completed) of \(stepCount) steps are completed" }
    guard written.contains(output), (0..<registerCount).contains(input.index) else {
      return "the result \(output) is never written"
    }
    return nil
  }
}

extension SamplingPlan.Operation {
  var coefficients: [Double] {
    switch self {
    case .evaluate: []
    case .combine(let combination):
      combination.terms.map(\.coefficient)
        + combination.noises.flatMap { [$0.coefficient] + ($0.deviation.map { [$0.slope, $0.offset] } ?? []) }
    case .estimate(let estimate): estimate.terms.map(\.coefficient)
    }
  }
}
