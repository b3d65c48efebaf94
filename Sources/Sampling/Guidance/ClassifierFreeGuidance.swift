import Tensors

/// Classifier-free guidance: u + w (c - u).
///
/// Ho and Salimans 2022, arXiv:2207.12598. By default w is counted as in Imagen and diffusers: 1 is no guidance and
/// costs one evaluation. Being linear, it is the same in every prediction type. A negative prompt takes the place of u.
public struct ClassifierFreeGuidance: Guidance, Hashable {
  /// w, the guidance scale.
  public let scale: Double
  /// What w is counted from.
  public let formulation: GuidanceFormulation
  private let weight: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the scale is finite and not negative.
  public init(scale: Double, formulation: GuidanceFormulation = .fromUnconditional) throws(SamplingError) {
    try requireScale(scale)
    self.scale = scale
    self.formulation = formulation
    weight = formulation.weight(scale)
  }

  public var allBranches: [GuidanceBranch] {
    switch weight {
    case 1: GuidanceBranch.onlyConditional
    case 0: GuidanceBranch.onlyUnconditional
    default: GuidanceBranch.both
    }
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    switch weight {
    case 1: outputs[.conditional]
    case 0: outputs[.unconditional]
    default: .combining((1 - weight, outputs[.unconditional]), (weight, outputs[.conditional]))
    }
  }
}
