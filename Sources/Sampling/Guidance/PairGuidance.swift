import Tensors

/// Guidance by what tells the conditional from the unconditional prediction, in a form of prediction that is chosen.
public protocol PairGuidance: Guidance {
  var scale: Double { get }
  var formulation: GuidanceFormulation { get }

  /// The prediction made of c and u, where the scale asks for both.
  func combine<State: Tensor>(conditional: State, unconditional: State) -> State
}

extension PairGuidance {
  public var allBranches: [GuidanceBranch] { formulation.branches(scale) }

  public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State {
    guard let (conditional, unconditional) = outputs.pair else { return outputs[.conditional] }
    return combine(conditional: conditional, unconditional: unconditional)
  }
}
