import Tensors

/// Any guidance, its result drawn to the standard deviation of the conditional prediction against overexposure:
/// phi p std(c) / std(p) + (1 - phi) p.
///
/// Lin et al. 2023, arXiv:2305.08891, eqs. 15 and 16. Standard deviations are not the same in different forms of
/// prediction; the paper's models predict the velocity. Where the base does not ask for c, its result is left alone.
public struct RescaledGuidance<Base: Guidance>: Guidance {
  public let base: Base
  /// phi, 0 to 1.
  public let share: Double
  private let form: Prediction

  /// - Parameters:
  ///   - share: phi; the paper takes 0.7.
  ///   - space: the form of prediction whose standard deviations are compared.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the share lies in 0...1.
  public init(_ base: Base, share: Double, space: Prediction = .velocity) throws(SamplingError) {
    try require("the guidance rescale", share, in: 0...1, "0 to 1")
    self.base = base
    self.share = share
    form = space
  }

  public var space: Prediction? { form }

  public var allBranches: [GuidanceBranch] { base.allBranches }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] { base.branches(at: moment) }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    let guided = base.guided(outputs, prediction: form, at: moment, memory: &memory)
    guard share > 0, outputs.contains(.conditional) else { return guided }
    let deviation = guided.standardDeviation()
    guard deviation > 0 else { return guided }
    return .combining((share * outputs[.conditional].standardDeviation() / deviation + 1 - share, guided))
  }
}

extension RescaledGuidance: Equatable where Base: Equatable {}
extension RescaledGuidance: Hashable where Base: Hashable {}
