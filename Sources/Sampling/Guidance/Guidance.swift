import Tensors

/// Which condition a model is evaluated with.
public enum GuidanceBranch: String, Hashable, Sendable, Codable {
  /// The prompt.
  case conditional
  /// The negative prompt, empty unless the caller gives one.
  case unconditional
}

/// How the outputs of a model under several conditions become one prediction.
///
/// A guidance is a pure value. It says which branches it needs at which time, so that nobody evaluates one in vain.
public protocol Guidance: Sendable {
  func branches(at point: TimePoint) -> [GuidanceBranch]

  /// The prediction made of one image's outputs, in the order of ``branches(at:)``.
  func combine<State: Tensor>(_ outputs: [State], at point: TimePoint) -> State
}

/// The conditional prediction as it is.
public struct Unguided: Guidance {
  public init() {}

  public func branches(at point: TimePoint) -> [GuidanceBranch] { [.conditional] }

  public func combine<State: Tensor>(_ outputs: [State], at point: TimePoint) -> State { outputs[0] }
}
