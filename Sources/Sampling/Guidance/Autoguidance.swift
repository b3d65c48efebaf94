import Tensors

/// Guidance away from a lesser version of the model: b + w (c - b).
///
/// Karras et al. 2024, arXiv:2406.02507, eq. 3. Linear, and therefore the same in every form of prediction.
public struct Autoguidance: Guidance, Hashable {
  /// w; 1 is no guidance and costs one evaluation.
  public let scale: Double
  /// What stands for the lesser model.
  public let weak: GuidanceBranch

  /// - Parameter weak: the lesser model on the same prompt, or the model itself with layers disturbed.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a scale that is negative or not finite, or a
  ///   weak branch that is the conditional one.
  public init(
    scale: Double, weak: GuidanceBranch = GuidanceBranch(.positive(0), .weakModel)
  ) throws(SamplingError) {
    try requireScale(scale)
    guard weak != .conditional else {
      throw .invalidOption(name: "the weak branch", found: "the conditional one", expected: "another")
    }
    self.scale = scale
    self.weak = weak
  }

  public var allBranches: [GuidanceBranch] {
    switch scale {
    case 1: [.conditional]
    case 0: [weak]
    default: [weak, .conditional]
    }
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    switch scale {
    case 1: outputs[.conditional]
    case 0: outputs[weak]
    default: .combining((1 - scale, outputs[weak]), (scale, outputs[.conditional]))
    }
  }
}
