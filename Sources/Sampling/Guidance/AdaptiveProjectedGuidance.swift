import Tensors

/// Adaptive projected guidance: the direction is averaged with momentum, limited in length, and its part along the
/// conditional prediction weakened, which is the part that saturates.
///
/// Sadat et al. 2024, arXiv:2410.02416, algorithm 1, in the sample space. d = c - u + beta d', with d' of the image's
/// last guided evaluation; d is shortened to the radius; the result is c + (w - 1) (d⊥ + eta d∥). diffusers forms
/// u + w (d⊥ + eta d∥) instead: ``GuidanceFormulation/fromUnconditional``.
public struct AdaptiveProjectedGuidance: Guidance, Hashable {
  public let scale: Double
  /// beta; negative values step back from the last direction.
  public let momentum: Double
  /// The greatest length of d; infinite for no limit.
  public let radius: Double
  /// eta, how much of the parallel part is kept.
  public let parallelShare: Double
  public let formulation: GuidanceFormulation

  private static let memoryKey = "adaptive projected guidance"

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a scale that is negative or not finite, a
  ///   momentum outside -1...1, a radius that is not positive, or an eta that is not finite.
  public init(
    scale: Double, momentum: Double = -0.5, radius: Double = 15, parallelShare: Double = 0,
    formulation: GuidanceFormulation = .excess
  ) throws(SamplingError) {
    try requireScale(scale)
    try require("the momentum of guidance", momentum, in: -1...1, "-1 to 1")
    guard radius > 0 else {
      throw .invalidOption(name: "the radius of guidance", found: "\(radius)", expected: "a positive number")
    }
    guard parallelShare.isFinite else {
      throw .invalidOption(name: "eta of guidance", found: "\(parallelShare)", expected: "a finite number")
    }
    self.scale = scale
    self.momentum = momentum
    self.radius = radius
    self.parallelShare = parallelShare
    self.formulation = formulation
  }

  public var space: Prediction? { .sample }

  public var allBranches: [GuidanceBranch] { formulation.branches(scale) }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    let conditional = outputs[.conditional]
    guard scale != formulation.neutralScale else { return conditional }
    let unconditional = outputs[.unconditional]
    var direction: State = .combining((1, conditional), (-1, unconditional))
    if momentum != 0 {
      if let last = memory.tensors[Self.memoryKey] { direction = .combining((1, direction), (momentum, last)) }
      memory.tensors[Self.memoryKey] = direction
    }
    let length = direction.norm()
    let shortening = length > radius ? radius / length : 1
    let square = conditional.innerProduct(conditional)
    let parallel = square > 0 ? direction.innerProduct(conditional) / square : 0
    return formulation.guided(
      conditional: conditional, unconditional: unconditional,
      direction: .combining(
        (shortening, direction), (shortening * (parallelShare - 1) * parallel, conditional)),
      scale: scale)
  }
}
