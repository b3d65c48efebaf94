/// One way of evaluating a model: on which prompt, and with which part of it disturbed.
public struct GuidanceBranch: Hashable, Sendable, Codable {
  public var prompt: Prompt
  public var perturbation: Perturbation

  public init(_ prompt: Prompt, _ perturbation: Perturbation = .none) {
    self.prompt = prompt
    self.perturbation = perturbation
  }

  /// The prompt.
  public static let conditional = GuidanceBranch(.positive(0))
  /// The negative prompt, empty unless the caller gives one.
  public static let unconditional = GuidanceBranch(.negative(0))

  /// The lists that most evaluations ask for, made once.
  static let onlyConditional = [conditional]
  static let onlyUnconditional = [unconditional]
  static let both = [unconditional, conditional]

  public enum Prompt: Hashable, Sendable, Codable {
    /// The prompts whose content is wanted; 0 is the main one.
    case positive(Int)
    /// The prompts whose content is not wanted. 0 is the unconditional one: empty, or the negative prompt.
    case negative(Int)
  }

  /// What is done to the model for the sake of a worse prediction to move away from.
  public enum Perturbation: Hashable, Sendable, Codable {
    case none
    /// Self-attention passes its values on: perturbed-attention guidance (arXiv:2403.17377).
    case identityAttention(layers: [String])
    /// Self-attention's queries are blurred by a Gaussian of this standard deviation in pixels of the layer, infinite
    /// for their mean: smoothed energy guidance (arXiv:2408.00760).
    case blurredQueries(sigma: Double, layers: [String])
    /// Layers are left out: skip-layer guidance.
    case skipped(layers: [String])
    /// A lesser model answers: autoguidance (arXiv:2406.02507).
    case weakModel
  }
}

extension [GuidanceBranch] {
  /// These, and those of others that are not among them.
  func adding(_ others: GuidanceBranch...) -> [GuidanceBranch] { self + others.filter { !contains($0) } }
}
