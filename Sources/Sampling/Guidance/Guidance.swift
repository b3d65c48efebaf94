import Tensors

/// How the outputs of a model under several conditions become one prediction.
///
/// A guidance is a pure value, and best a `Hashable` one: those that are equal share batches. It says which branches it
/// needs at which time, so that nobody evaluates one in vain; what it must remember between evaluations, it is handed
/// for each image apart.
public protocol Guidance: Sendable {
  /// The form of prediction that ``combine(_:at:memory:)`` works in: outputs are converted to it, and the result back.
  /// nil where the method is linear, and therefore the same in all forms.
  var space: Prediction? { get }

  /// Every branch that is ever needed, whenever that is: what there must be prompts and memory for.
  var allBranches: [GuidanceBranch] { get }

  /// The branches that are needed at one moment, of ``allBranches``; those are the default.
  func branches(at moment: GuidanceMoment) -> [GuidanceBranch]

  /// The prediction made of one image's outputs for ``branches(at:)``.
  func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State
}

extension Guidance {
  public var space: Prediction? { nil }

  public func branches(at moment: GuidanceMoment) -> [GuidanceBranch] { allBranches }

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` where the space says nothing at one of the points,
  ///   as ε does where there is no signal.
  @usableFromInline func check(_ prediction: Prediction, at points: [TimePoint]) throws(SamplingError) {
    guard let space, space != prediction else { return }
    for point in points {
      let (there, back) = (
        prediction.coefficients(to: space, at: point), space.coefficients(to: prediction, at: point)
      )
      guard [there.state, there.output, back.state, back.output].allSatisfy(\.isFinite) else {
        throw .invalidOption(
          name: "the guidance's space", found: space.rawValue,
          expected: "another for \(prediction.rawValue) predictions where alpha is \(point.alpha)")
      }
    }
  }
}

/// Where in its run an evaluation stands.
public struct GuidanceMoment: Hashable, Sendable {
  public let point: TimePoint
  /// Evaluations of the image before this one.
  public let evaluation: Int

  public init(point: TimePoint, evaluation: Int) {
    self.point = point
    self.evaluation = evaluation
  }
}

/// One image's outputs by branch.
public struct BranchOutputs<State: Tensor>: Sendable {
  /// What the model saw.
  public let state: State
  @usableFromInline let branches: [GuidanceBranch]
  @usableFromInline let outputs: ArraySlice<State>

  /// - Precondition: there are as many outputs as branches.
  public init(_ outputs: [State], of branches: [GuidanceBranch], state: State) {
    self.init(outputs[...], of: branches, state: state)
  }

  @inlinable init(_ outputs: ArraySlice<State>, of branches: [GuidanceBranch], state: State) {
    precondition(outputs.count == branches.count)
    self.outputs = outputs
    self.branches = branches
    self.state = state
  }

  @inlinable public func contains(_ branch: GuidanceBranch) -> Bool { branches.contains(branch) }

  /// - Precondition: the guidance asked for the branch.
  @inlinable public subscript(branch: GuidanceBranch) -> State {
    guard let index = branches.firstIndex(of: branch) else {
      preconditionFailure("\(branch) is combined and was not evaluated")
    }
    return outputs[outputs.startIndex + index]
  }

  /// c and u; nil where c alone was asked for, which is then the result.
  var pair: (conditional: State, unconditional: State)? {
    contains(.unconditional) ? (self[.conditional], self[.unconditional]) : nil
  }

  /// Every output by a function of it.
  @inlinable func map(_ transform: (State) -> State) -> BranchOutputs {
    BranchOutputs(outputs.map(transform), of: branches, state: state)
  }
}

/// What a guidance keeps of one image from one evaluation to the next.
public struct GuidanceMemory<State: Tensor>: Sendable {
  public var tensors: [String: State] = [:]

  @inlinable public init() {}
}

/// The conditional prediction as it is.
public struct Unguided: Guidance, Hashable {
  public init() {}

  public var allBranches: [GuidanceBranch] { GuidanceBranch.onlyConditional }

  @inlinable public func combine<State: Tensor>(
    _ outputs: BranchOutputs<State>, at moment: GuidanceMoment, memory: inout GuidanceMemory<State>
  ) -> State { outputs[.conditional] }
}
