import Tensors

/// Several prompts at once: u + Σ wᵢ (cᵢ - u).
///
/// Liu et al. 2022, arXiv:2206.01714, eqs. 11 and 13: a positive weight is AND, a negative one NOT. Linear.
public struct ComposedGuidance: Guidance, Hashable {
  /// wᵢ of positive prompts 0, 1 ... Those of weight 0 are not evaluated, nor is u where the weights sum to 1.
  public let weights: [Double]

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless there are weights and all are finite.
  public init(weights: [Double]) throws(SamplingError) {
    try requireWeights(weights)
    self.weights = weights
  }

  private var sum: BranchSum {
    let prompts = weights.enumerated().map { (GuidanceBranch(.positive($0.offset)), $0.element) }
    return BranchSum([(.unconditional, 1 - weights.reduce(0, +))] + prompts)
  }

  public var allBranches: [GuidanceBranch] { sum.branches }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State { sum.combine(outputs) }
}
