extension SamplingPlan {
  /// Why the plan cannot be run; nil if it can.
  ///
  /// The executor trusts what this has passed: registers are in range and written before they are read, every step of
  /// the grid is completed once and in order, and all numbers are finite.
  var fault: String? {
    do { _ = try GridSteps(grid) } catch { return error.description }
    guard initialScale.isFinite else { return "the initial scale is \(initialScale)" }
    guard (1...operations.count + 1).contains(registerCount) else { return "there are \(registerCount) registers" }
    var written: Set = [input]
    var completed = 0
    for (index, operation) in operations.enumerated() {
      let registers = operation.inputs + [operation.output]
      if let register = registers.first(where: { !(0..<registerCount).contains($0.index) }) {
        return "operation \(index) names \(register) of \(registerCount) registers"
      }
      if let register = operation.inputs.first(where: { !written.contains($0) }) {
        return "operation \(index) reads \(register), which nothing has written"
      }
      written.insert(operation.output)
      guard case .combine(let combination) = operation else { continue }
      guard !operation.inputs.contains(operation.output) else {
        return "operation \(index) overwrites its input \(operation.output)"
      }
      guard combination.numbers.allSatisfy(\.isFinite) else { return "operation \(index) has an infinite coefficient" }
      guard combination.limit ?? 1 > 0 else { return "operation \(index) clips to nothing" }
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

extension SamplingPlan.Combination {
  fileprivate var numbers: [Double] {
    terms.map(\.coefficient) + [noise?.coefficient, limit].compactMap(\.self)
  }
}

extension SamplingPlan {
  enum CodingKeys: String, CodingKey {
    case solver, prediction, grid, initialScale, operations, registerCount, input, output
  }

  /// - Throws: `DecodingError` also where the plan is not one that can be run.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    solver = try container.decode(String.self, forKey: .solver)
    prediction = try container.decode(Prediction.self, forKey: .prediction)
    grid = try container.decode([TimePoint].self, forKey: .grid)
    initialScale = try container.decode(Double.self, forKey: .initialScale)
    operations = try container.decode([Operation].self, forKey: .operations)
    registerCount = try container.decode(Int.self, forKey: .registerCount)
    input = try container.decode(Register.self, forKey: .input)
    output = try container.decode(Register.self, forKey: .output)
    if let fault {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: fault))
    }
  }
}
