import RealModule
import Tensors

/// MAMBO-G: guidance that weakens where c and u are far apart, as they are at the beginning.
///
/// arXiv:2508.03442. What the scale has beyond no guidance is multiplied by exp(-damping |c - u| / |u|). The ratio
/// depends on the form of prediction; the paper's models predict the flow's velocity.
public struct MagnitudeAwareGuidance: PairGuidance, Hashable {
  public let scale: Double
  public let damping: Double
  public let formulation: GuidanceFormulation
  public let space: Prediction?

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless scale and damping are finite and not
  ///   negative.
  public init(
    scale: Double, damping: Double = 8, formulation: GuidanceFormulation = .fromUnconditional,
    space: Prediction = .flow
  ) throws(SamplingError) {
    try requireScale(scale)
    try requireScale(damping, "the damping of guidance")
    self.scale = scale
    self.damping = damping
    self.formulation = formulation
    self.space = space
  }

  public func combine<State: Tensor>(conditional: State, unconditional: State) -> State {
    let difference: State = .combining((1, conditional), (-1, unconditional))
    let length = unconditional.norm()
    let factor = length > 0 ? Double.exp(-damping * difference.norm() / length) : 0
    let excess = (formulation.weight(scale) - 1) * factor
    return .combining((1, conditional), (excess, difference))
  }
}
