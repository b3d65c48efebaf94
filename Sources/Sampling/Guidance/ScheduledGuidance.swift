import RealModule
import Tensors

/// How much of a guidance counts at which noise level: a factor of what it adds to the conditional prediction.
///
/// Wang et al. 2024, arXiv:2404.13040. A schedule runs over r = sigma / (alpha + sigma), from 1 at pure noise to 0: the
/// time of a straight path with the same signal-to-noise ratio. It therefore depends neither on the number of steps
/// nor on the model's count of timesteps.
public enum GuidanceSchedule: Hashable, Sendable, Codable {
  /// 2 (1 - r): rises to twice the scale; its mean over r is 1.
  case linear
  /// 1 + cos(pi r): rises to twice the scale; its mean over r is 1.
  case cosine
  /// (1 - cos(pi (1 - r)^s)) / 2: rises to the scale, the later the greater s.
  case powerCosine(exponent: Double)

  /// The factor at `point`.
  public func factor(at point: TimePoint) -> Double {
    let noise = point.sigma / (point.alpha + point.sigma)
    return switch self {
    case .linear: 2 * (1 - noise)
    case .cosine: 1 + .cos(.pi * noise)
    case .powerCosine(let exponent): (1 - .cos(.pi * .pow(1 - noise, exponent))) / 2
    }
  }
}

/// Any guidance g on a schedule: c + f (g - c). Of classifier-free guidance that is the scale 1 + f (w - 1).
///
/// Where f is 0 the conditional prediction is all that is evaluated. Where the base does not ask for c, its result is
/// left alone.
public struct ScheduledGuidance<Base: Guidance>: Guidance {
  public let base: Base
  public let schedule: GuidanceSchedule

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an exponent that is not positive and finite.
  public init(_ base: Base, _ schedule: GuidanceSchedule) throws(SamplingError) {
    if case .powerCosine(let exponent) = schedule, !(exponent > 0 && exponent.isFinite) {
      throw .invalidOption(
        name: "the exponent of the guidance schedule", found: "\(exponent)", expected: "a positive number")
    }
    self.base = base
    self.schedule = schedule
  }

  public var space: Prediction? { base.space }

  public var allBranches: [GuidanceBranch] { base.allBranches }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] {
    let branches = base.branches(at: moment)
    return branches.contains(.conditional) && schedule.factor(at: moment.point) == 0 ? [.conditional] : branches
  }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    let factor = schedule.factor(at: moment.point)
    guard outputs.contains(.conditional) else { return base.combine(outputs, at: moment, memory: &memory) }
    guard factor != 0 else { return outputs[.conditional] }
    let guided = base.combine(outputs, at: moment, memory: &memory)
    return .combining((1 - factor, outputs[.conditional]), (factor, guided))
  }
}

extension ScheduledGuidance: Equatable where Base: Equatable {}
extension ScheduledGuidance: Hashable where Base: Hashable {}
