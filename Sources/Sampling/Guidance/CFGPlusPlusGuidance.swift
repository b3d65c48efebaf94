import Tensors

/// The guided prediction of CFG++: u + lambda (c - u), an interpolation.
///
/// Chung et al. 2024, arXiv:2406.08070. For solvers that renoise with the unconditional output, which they need even at
/// lambda 1; so both branches are evaluated there, unlike with ``ClassifierFreeGuidance`` of scale 1.
public struct CFGPlusPlusGuidance: Guidance, Hashable {
  /// lambda, 0 to 1.
  public let scale: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the scale lies in 0...1.
  public init(scale: Double) throws(SamplingError) {
    try require("the scale of CFG++", scale, in: 0...1, "0 to 1")
    self.scale = scale
  }

  public var allBranches: [GuidanceBranch] {
    scale == 0 ? [.unconditional] : [.unconditional, .conditional]
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    scale == 0
      ? outputs[.unconditional] : .combining((1 - scale, outputs[.unconditional]), (scale, outputs[.conditional]))
  }
}
