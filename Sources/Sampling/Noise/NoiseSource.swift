import Tensors

/// Where the noise of a run comes from.
public struct NoiseSource<State: Tensor>: Sendable {
  /// Stream `stream` of an image's noise: 0 is the starting noise, 1, 2, 3 ... the draws of a stochastic solver in the
  /// order of the plan.
  public typealias Draw = @Sendable (_ field: NoiseField, _ stream: UInt32, _ shape: Shape) -> State

  /// nil for the counter-based field, which a tensor adds in the pass that combines.
  let draw: Draw?

  /// The counter-based field of each image.
  public static var field: NoiseSource { NoiseSource(draw: nil) }

  /// Tensors that somebody else makes.
  public static func custom(_ draw: @escaping Draw) -> NoiseSource { NoiseSource(draw: draw) }
}

/// How the draws of a stochastic solver hang together.
public enum NoiseCorrelation: String, Hashable, Sendable, Codable {
  /// Every draw is fresh.
  case independent
  /// All draws are increments of one Brownian path: more steps follow the same path more closely.
  case brownian
}
