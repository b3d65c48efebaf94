import Tensors

/// Any guidance, and besides a step away from what a disturbed model predicts: g + s (c - c').
///
/// The common form of perturbed-attention, smoothed-energy and skip-layer guidance. On top of ``Unguided`` it needs no
/// unconditional branch. diffusers forms c' + s (c - c') there instead, which is scale s - 1 here.
public struct PerturbedGuidance<Base: Guidance>: Guidance {
  public let base: Base
  /// s; 0 costs nothing.
  public let scale: Double
  public let perturbation: GuidanceBranch.Perturbation
  private let lower: Double
  private let upper: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a scale that is negative or not finite, an
  ///   empty interval, no layers, or a blur that is not positive.
  public init(
    _ base: Base, scale: Double, _ perturbation: GuidanceBranch.Perturbation,
    interval: (lower: Double, upper: Double) = (0, .infinity)
  ) throws(SamplingError) {
    try requireScale(scale, "the scale of the perturbation")
    guard interval.lower >= 0, interval.lower < interval.upper else {
      throw .invalidOption(
        name: "the perturbation's interval", found: "(\(interval.lower), \(interval.upper)]",
        expected: "0 or more, and less than its end")
    }
    switch perturbation {
    case .identityAttention(let layers) where layers.isEmpty, .blurredQueries(_, let layers) where layers.isEmpty,
      .skipped(let layers) where layers.isEmpty:
      throw .invalidOption(name: "the disturbed layers", found: "none", expected: "one or more")
    case .blurredQueries(let sigma, _) where !(sigma > 0):
      throw .invalidOption(name: "the blur of queries", found: "\(sigma)", expected: "a positive number")
    default: break
    }
    self.base = base
    self.scale = scale
    self.perturbation = perturbation
    (lower, upper) = interval
  }

  /// The noise levels sigma / alpha, the lower bound exclusive, at which the model is disturbed.
  public var interval: (lower: Double, upper: Double) { (lower, upper) }

  public var space: Prediction? { base.space }

  private var disturbed: GuidanceBranch { GuidanceBranch(.positive(0), perturbation) }

  private func isActive(at moment: GuidanceMoment, with branches: [GuidanceBranch]) -> Bool {
    let level = moment.point.noiseToSignal
    return scale != 0 && !branches.isEmpty && lower < level && level <= upper
  }

  public var allBranches: [GuidanceBranch] {
    let own = base.allBranches
    return scale == 0 || own.isEmpty ? own : own.adding(.conditional, disturbed)
  }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] {
    let own = base.branches(at: moment)
    return isActive(at: moment, with: own) ? own.adding(.conditional, disturbed) : own
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    let guided = base.combine(outputs, at: moment, memory: &memory)
    guard isActive(at: moment, with: base.branches(at: moment)) else { return guided }
    return .combining((1, guided), (scale, outputs[.conditional]), (-scale, outputs[disturbed]))
  }
}

extension PerturbedGuidance: Equatable where Base: Equatable {}
extension PerturbedGuidance: Hashable where Base: Hashable {}
