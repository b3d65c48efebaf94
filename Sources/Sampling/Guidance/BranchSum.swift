import Tensors

/// A sum of branches with fixed weights: what linear guidance comes to.
struct BranchSum {
  private let terms: [(branch: GuidanceBranch, weight: Double)]

  /// Branches of weight 0 are left out: nobody need evaluate them.
  init(_ terms: [(branch: GuidanceBranch, weight: Double)]) {
    self.terms = terms.filter { $0.weight != 0 }
  }

  var branches: [GuidanceBranch] { terms.map(\.branch) }

  func combine<State: Tensor>(_ outputs: BranchOutputs<State>) -> State {
    var sum = State(zeros: outputs.state.shape)
    sum.assign(LinearCombination(terms.map { .init($0.weight, outputs[$0.branch]) }))
    return sum
  }
}
