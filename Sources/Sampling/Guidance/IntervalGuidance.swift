import Tensors

/// A guidance within an interval of noise levels; the conditional prediction alone, at one evaluation, outside it.
///
/// Kynkäänniemi et al. 2024, arXiv:2404.07724, eq. 5. The interval is in sigma / alpha, EDM's sigma, so that it means
/// the same whatever the number of steps.
public struct IntervalGuidance<Base: Guidance>: Guidance {
  public let base: Base
  /// Exclusive.
  public let lower: Double
  /// Inclusive.
  public let upper: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless 0 <= lower < upper; upper may be infinite.
  public init(_ base: Base, lower: Double, upper: Double) throws(SamplingError) {
    guard lower >= 0, lower < upper else {
      throw .invalidOption(
        name: "the guidance interval", found: "(\(lower), \(upper)]", expected: "0 or more, and less than its end")
    }
    self.base = base
    self.lower = lower
    self.upper = upper
  }

  public var space: Prediction? { base.space }

  private func contains(_ point: TimePoint) -> Bool {
    lower < point.noiseToSignal && point.noiseToSignal <= upper
  }

  public var allBranches: [GuidanceBranch] { base.allBranches.adding(.conditional) }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] {
    contains(moment.point) ? base.branches(at: moment) : [.conditional]
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    contains(moment.point) ? base.combine(outputs, at: moment, memory: &memory) : outputs[.conditional]
  }
}

extension IntervalGuidance: Equatable where Base: Equatable {}
extension IntervalGuidance: Hashable where Base: Hashable {}
