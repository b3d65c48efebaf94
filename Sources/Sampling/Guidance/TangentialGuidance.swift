import RealModule
import Tensors

/// Tangential guidance: classifier-free guidance with u replaced by its projection on the direction that c and u share.
///
/// Kwon et al. 2025, arXiv:2503.18137. The direction is the first right singular vector of the matrix of rows c and u,
/// here from the 2 x 2 matrix of their inner products. It depends on the form of prediction; the paper's is the score.
public struct TangentialGuidance: PairGuidance, Hashable {
  public let scale: Double
  public let formulation: GuidanceFormulation
  public let space: Prediction?

  /// - Parameter space: not epsilon for a model of another form whose path begins without any signal (alpha 0).
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the scale is finite and not negative.
  public init(
    scale: Double, formulation: GuidanceFormulation = .fromUnconditional, space: Prediction = .epsilon
  ) throws(SamplingError) {
    try requireScale(scale)
    self.scale = scale
    self.formulation = formulation
    self.space = space
  }

  public func combine<State: Tensor>(conditional: State, unconditional: State) -> State {
    let (cc, cu, uu) = (
      conditional.innerProduct(conditional), conditional.innerProduct(unconditional),
      unconditional.innerProduct(unconditional)
    )
    // The greater eigenvalue of the Gram matrix and its eigenvector (a, b): a c + b u has the squared length `value`.
    let value = (cc + uu) / 2 + Double.hypot((cc - uu) / 2, cu)
    let angle = Double.atan2(y: 2 * cu, x: cc - uu) / 2
    let (a, b) = (Double.cos(angle), Double.sin(angle))
    let share = value > 0 ? (a * cu + b * uu) / value : 0
    let weight = formulation.weight(scale)
    return .combining(
      (weight + (1 - weight) * share * a, conditional), ((1 - weight) * share * b, unconditional))
  }
}
