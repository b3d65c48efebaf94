/// Writes sums that are read once into the sums that read them, so that a step passes over memory less often.
///
/// A conversion of the model's output, say, and the update that is made of it become one sum with the products of their
/// coefficients.
struct OperationFusion {
  private(set) var operations: [SamplingPlan.Operation] = []

  /// - Parameters:
  ///   - written: operations in which every register is written once.
  ///   - results: the registers that are read after the last operation.
  init(_ written: [SamplingPlan.Operation], results: [Int]) {
    let written = Self.read(of: written, results: results)
    var uses: [Int: Int] = [:]
    for register in written.flatMap(\.inputs) + results.map(SamplingPlan.Register.init) {
      uses[register.index, default: 0] += 1
    }
    // What is more than a term of a sum has to be there.
    let readWhole = Set(written.flatMap(\.readWhole))
    var absorbed: [SamplingPlan.Register: SamplingPlan.Combination] = [:]
    for operation in written {
      switch operation {
      case .evaluate:
        operations.append(operation)
      case .combine(var combination):
        combination.absorb(absorbed)
        // A sum is more than its terms where it is bounded, and where a step ends.
        let isPlain = combination.bound == nil && combination.completedStep == nil && combination.noises.isEmpty
        let output = combination.output
        if isPlain, uses[output.index] == 1, !results.contains(output.index), !readWhole.contains(output) {
          absorbed[output] = combination
        } else {
          operations.append(.combine(combination))
        }
      case .estimate(var estimate):
        estimate.terms = estimate.terms.absorbing(absorbed)
        operations.append(.estimate(estimate))
      }
    }
  }

  /// The operations without the sums that nothing reads, such as a form of the output that only other steps have a use
  /// for.
  private static func read(of written: [SamplingPlan.Operation], results: [Int]) -> [SamplingPlan.Operation] {
    var needed = Set(results.map(SamplingPlan.Register.init))
    let kept = written.reversed().filter { operation in
      if case .combine(let combination) = operation, combination.completedStep == nil,
        !needed.contains(combination.output)
      {
        return false
      }
      needed.formUnion(operation.inputs)
      return true
    }
    return kept.reversed()
  }
}

extension SamplingPlan.Operation {
  /// The registers whose elements are put to another use than being summed.
  fileprivate var readWhole: [SamplingPlan.Register] {
    switch self {
    case .evaluate: inputs
    case .combine(let combination): combination.noises.compactMap(\.deviation?.register)
    case .estimate: []
    }
  }
}

extension SamplingPlan.Combination {
  fileprivate mutating func absorb(_ sums: [SamplingPlan.Register: SamplingPlan.Combination]) {
    terms = terms.absorbing(sums)
  }
}

extension [SamplingPlan.Combination.Term] {
  /// The same sum, in which the registers of `sums` are replaced by what they are made of.
  fileprivate func absorbing(_ sums: [SamplingPlan.Register: SamplingPlan.Combination]) -> Self {
    var result: Self = []
    func add(_ coefficient: Double, _ register: SamplingPlan.Register) {
      if let index = result.firstIndex(where: { $0.register == register }) {
        result[index].coefficient += coefficient
      } else {
        result.append(.init(coefficient: coefficient, register: register))
      }
    }
    for term in self {
      guard let sum = sums[term.register] else {
        add(term.coefficient, term.register)
        continue
      }
      for inner in sum.terms { add(term.coefficient * inner.coefficient, inner.register) }
    }
    return result.filter { $0.coefficient != 0 }
  }
}
