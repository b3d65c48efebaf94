import Tensors

/// Classifier-free guidance away from a weighted mean of several negative prompts: u = Σ nⱼ eⱼ with Σ nⱼ = 1. Linear.
public struct WeightedNegativesGuidance: Guidance, Hashable {
  /// w; 1 is no guidance and costs one evaluation.
  public let scale: Double
  /// nⱼ of negative prompts 0, 1 ..., as scaled to sum to 1.
  public let weights: [Double]

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a scale that is negative or not finite, and
  ///   for weights that are negative, not finite, or all 0.
  public init(scale: Double, weights: [Double]) throws(SamplingError) {
    try requireScale(scale)
    let total = weights.reduce(0, +)
    guard weights.allSatisfy({ $0 >= 0 }), total > 0, total.isFinite else {
      throw .invalidOption(
        name: "the negative prompts' weights", found: "\(weights)", expected: "numbers of 0 or more, one of them more")
    }
    self.scale = scale
    self.weights = weights.map { $0 / total }
  }

  private var sum: BranchSum {
    let negatives = weights.enumerated().map { (GuidanceBranch(.negative($0.offset)), (1 - scale) * $0.element) }
    return BranchSum(negatives + [(.conditional, scale)])
  }

  public var allBranches: [GuidanceBranch] { sum.branches }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State { sum.combine(outputs) }
}
