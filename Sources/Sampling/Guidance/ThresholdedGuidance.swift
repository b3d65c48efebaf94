import Tensors

/// Any guidance, its prediction of the clean image kept in range.
///
/// Saharia et al. 2022, arXiv:2205.11487, section 2.3. In the sample space, and made for models of pixels: latents have
/// no range of their own.
public struct ThresholdedGuidance<Base: Guidance>: Guidance {
  public let base: Base
  public let bound: SampleBound

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a bound that makes no sense.
  public init(
    _ base: Base, _ bound: SampleBound = .threshold(quantile: 0.995, maximum: .greatestFiniteMagnitude)
  ) throws(SamplingError) {
    if let fault = bound.fault {
      throw .invalidOption(name: "the threshold of guidance", found: fault.found, expected: fault.expected)
    }
    self.base = base
    self.bound = bound
  }

  public var space: Prediction? { .sample }

  public var allBranches: [GuidanceBranch] { base.allBranches }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] { base.branches(at: moment) }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    var guided = base.guided(outputs, prediction: .sample, at: moment, memory: &memory)
    bound.apply(to: &guided)
    return guided
  }
}

extension ThresholdedGuidance: Equatable where Base: Equatable {}
extension ThresholdedGuidance: Hashable where Base: Hashable {}
