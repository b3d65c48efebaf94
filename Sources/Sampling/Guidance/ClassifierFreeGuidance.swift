import Tensors

/// Classifier-free guidance: u + w (c - u).
///
/// Ho and Salimans 2022, arXiv:2207.12598, with w counted as in Imagen and diffusers: 1 is no guidance and costs one
/// evaluation. Being linear, it is the same in every prediction type. A negative prompt takes the place of u.
public struct ClassifierFreeGuidance: Guidance, Hashable {
  /// w, the guidance scale.
  public let scale: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the scale is finite and not negative.
  public init(scale: Double) throws(SamplingError) {
    guard scale.isFinite, scale >= 0 else {
      throw .invalidOption(name: "the guidance scale", found: "\(scale)", expected: "a finite number of 0 or more")
    }
    self.scale = scale
  }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] {
    switch scale {
    case 1: [.conditional]
    case 0: [.unconditional]
    default: [.unconditional, .conditional]
    }
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    switch scale {
    case 1: outputs[.conditional]
    case 0: outputs[.unconditional]
    default: .combining((1 - scale, outputs[.unconditional]), (scale, outputs[.conditional]))
    }
  }
}
