import Tensors

/// CFG-Zero*: the unconditional velocity is scaled to fit the conditional one best, and the first evaluations, where an
/// undertrained model is worst, count as zero and cost nothing.
///
/// Fan et al. 2025, arXiv:2503.18886, eqs. 8 to 10, in the flow space: s = <c, u> / |u|², then s u + w (c - s u).
public struct CFGZeroStarGuidance: Guidance, Hashable {
  public let scale: Double
  /// Evaluations of each image that are not made, their velocity taken as 0.
  public let zeroEvaluations: Int
  public let formulation: GuidanceFormulation

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a negative count, or a scale that is negative
  ///   or not finite.
  public init(
    scale: Double, zeroEvaluations: Int = 1, formulation: GuidanceFormulation = .fromUnconditional
  ) throws(SamplingError) {
    try requireScale(scale)
    guard zeroEvaluations >= 0 else {
      throw .invalidOption(name: "the zeroed evaluations", found: "\(zeroEvaluations)", expected: "0 or more")
    }
    self.scale = scale
    self.zeroEvaluations = zeroEvaluations
    self.formulation = formulation
  }

  public var space: Prediction? { .flow }

  public var allBranches: [GuidanceBranch] { formulation.branches(scale) }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] {
    moment.evaluation < zeroEvaluations ? [] : allBranches
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    if moment.evaluation < zeroEvaluations { return State(zeros: outputs.state.shape) }
    guard let (conditional, unconditional) = outputs.pair else { return outputs[.conditional] }
    // 1e-8 is the authors', for u = 0.
    let fit = conditional.innerProduct(unconditional) / (unconditional.innerProduct(unconditional) + 1e-8)
    let weight = formulation.weight(scale)
    return .combining(((1 - weight) * fit, unconditional), (weight, conditional))
  }
}
