import Tensors

/// Perp-Neg: negative prompts count only by what is perpendicular to the positive one.
///
/// Armandpour et al. 2023, arXiv:2304.04968, eq. 8: u + w (p - Σ nᵢ (qᵢ - <qᵢ, p> / |p|² p)), where p and qᵢ are the
/// differences of the positive and the negative predictions from the empty prompt's. Differences in two forms of
/// prediction are multiples of each other, so that the method is the same in all.
public struct PerpNegGuidance: Guidance, Hashable {
  public let scale: Double
  /// nᵢ of negative prompts 1, 2 ...; negative prompt 0 is the empty one, u.
  public let weights: [Double]

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a scale that is negative or not finite, no
  ///   weights, or one that is not finite.
  public init(scale: Double, weights: [Double]) throws(SamplingError) {
    try requireScale(scale)
    try requireWeights(weights)
    self.scale = scale
    self.weights = weights
  }

  private var negatives: [(branch: GuidanceBranch, weight: Double)] {
    weights.enumerated().filter { $0.element != 0 }.map { (GuidanceBranch(.negative($0.offset + 1)), $0.element) }
  }

  public var allBranches: [GuidanceBranch] {
    scale == 0 ? [.unconditional] : [.unconditional, .conditional] + negatives.map(\.branch)
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    let empty = outputs[.unconditional]
    guard scale != 0 else { return empty }
    let positive: State = .combining((1, outputs[.conditional]), (-1, empty))
    let square = positive.innerProduct(positive)
    var guided: State = .combining((1, empty), (scale, positive))
    for (branch, weight) in negatives {
      let negative: State = .combining((1, outputs[branch]), (-1, empty))
      let parallel = square > 0 ? negative.innerProduct(positive) / square : 0
      guided = .combining((1, guided), (-scale * weight, negative), (scale * weight * parallel, positive))
    }
    return guided
  }
}

/// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless there are weights and all are finite.
func requireWeights(_ weights: [Double]) throws(SamplingError) {
  guard !weights.isEmpty, weights.allSatisfy(\.isFinite) else {
    throw .invalidOption(name: "the prompts' weights", found: "\(weights)", expected: "one or more finite numbers")
  }
}
