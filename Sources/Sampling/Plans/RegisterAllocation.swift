/// Gives the tensors of a plan as few registers as their lifetimes allow, the model's outputs and the sums apart.
///
/// An operation's output never shares a register with its inputs, so an executor can write it in place of a tensor
/// that nobody needs any more and allocates nothing after the first steps. A sum does not take the place of a model's
/// output, whose memory may still be the model's.
struct RegisterAllocation {
  private(set) var operations: [SamplingPlan.Operation] = []
  private(set) var count: Int
  let input = SamplingPlan.Register(0)
  /// Where the tensors that outlive the operations lie, in the order asked for.
  private(set) var outputs: [SamplingPlan.Register] = []

  /// - Parameters:
  ///   - written: operations in which every register is written once; register 0 is the starting state.
  ///   - results: the registers that are read after the last operation.
  ///   - given: how many registers are written before the first, from 0. They stay where they are.
  init(_ written: [SamplingPlan.Operation], results: [Int], given: Int = 1) {
    var lastUse = Dictionary(results.map { ($0, written.count) }) { first, _ in first }
    count = given
    for (index, operation) in written.enumerated().reversed() {
      for register in operation.inputs where lastUse[register.index] == nil {
        lastUse[register.index] = index
      }
    }
    var assigned = Dictionary(uniqueKeysWithValues: (0..<given).map { ($0, SamplingPlan.Register($0)) })
    // By whether they hold outputs of the model.
    var free: [Bool: [Int]] = [:]
    var holdsOutputs = Array(repeating: false, count: given)
    func release(_ place: Int) {
      let kind = holdsOutputs[place]
      if free[kind]?.contains(place) != true { free[kind, default: []].append(place) }
    }
    for (index, operation) in written.enumerated() {
      let inputs = operation.inputs
      for target in operation.outputs {
        // A tensor nobody reads still needs a place to be written to.
        let place = free[operation.isEvaluation]?.popLast() ?? count
        if place == count {
          count += 1
          holdsOutputs.append(operation.isEvaluation)
        }
        assigned[target.index] = .init(place)
      }
      operations.append(operation.renamed { assigned[$0.index] ?? $0 })
      // In the order of the terms, not of a set, whose order differs between processes: equal plans compare equal.
      for register in inputs where lastUse[register.index] == index {
        if let dead = assigned[register.index] { release(dead.index) }
      }
      for target in operation.outputs where lastUse[target.index] == nil {
        if let dead = assigned[target.index] { release(dead.index) }
      }
    }
    outputs = results.map { assigned[$0] ?? .init($0) }
  }
}

extension SamplingPlan.Operation {
  var isEvaluation: Bool { if case .evaluate = self { true } else { false } }

  var inputs: [SamplingPlan.Register] {
    switch self {
    case .evaluate(let evaluation): [evaluation.input]
    case .combine(let combination):
      combination.terms.map(\.register) + combination.noises.compactMap(\.deviation?.register)
    case .estimate(let estimate): estimate.terms.map(\.register)
    }
  }

  var outputs: [SamplingPlan.Register] {
    switch self {
    case .evaluate(let evaluation):
      [evaluation.output] + [evaluation.unguided, evaluation.variance].compactMap(\.self)
    case .combine(let combination): [combination.output]
    case .estimate: []
    }
  }

  fileprivate func renamed(_ name: (SamplingPlan.Register) -> SamplingPlan.Register) -> Self {
    switch self {
    case .evaluate(var evaluation):
      evaluation.input = name(evaluation.input)
      evaluation.output = name(evaluation.output)
      evaluation.unguided = evaluation.unguided.map(name)
      evaluation.variance = evaluation.variance.map(name)
      return .evaluate(evaluation)
    case .combine(var combination):
      for index in combination.terms.indices {
        combination.terms[index].register = name(combination.terms[index].register)
      }
      for index in combination.noises.indices {
        guard let deviation = combination.noises[index].deviation else { continue }
        combination.noises[index].deviation?.register = name(deviation.register)
      }
      combination.output = name(combination.output)
      return .combine(combination)
    case .estimate(var estimate):
      for index in estimate.terms.indices {
        estimate.terms[index].register = name(estimate.terms[index].register)
      }
      return .estimate(estimate)
    }
  }
}

extension PlanBuilder {
  /// What has been written, in as few passes over memory and as few registers as it takes.
  ///
  /// - Parameters: as those of ``RegisterAllocation/init(_:results:given:)``.
  func schedule(results: [Int], given: Int = 1) -> RegisterAllocation {
    RegisterAllocation(OperationFusion(operations, results: results).operations, results: results, given: given)
  }
}
