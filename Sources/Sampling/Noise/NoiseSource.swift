import Tensors

/// Where the noise of a run comes from.
public struct NoiseSource<State: Tensor>: Sendable {
  /// Stream `stream` of an image's noise: 0 is the starting noise, 1, 2, 3 ... the draws of a stochastic solver in the
  /// order of the plan.
  public typealias Draw = @Sendable (_ field: NoiseField, _ stream: UInt32, _ shape: Shape) -> State

  /// nil for the counter-based field, which a tensor adds in the pass that combines.
  @usableFromInline let draw: Draw?
  /// Whether it has no more than draws 0, 1, 2 ..., and so no Brownian paths.
  @usableFromInline let isSequential: Bool

  /// A stream of an image's noise as a tensor.
  @inlinable func tensor(_ field: NoiseField, stream: UInt32, shape: Shape) -> State {
    draw?(field, stream, shape) ?? State(noise: field.with(stream: stream), shape: shape)
  }

  /// The counter-based field of each image.
  public static var field: NoiseSource { NoiseSource(draw: nil, isSequential: false) }

  /// Tensors that somebody else makes.
  public static func custom(_ draw: @escaping Draw) -> NoiseSource { NoiseSource(draw: draw, isSequential: false) }

  /// The noise of torch generators, an image's being that of its field's `image`.
  ///
  /// - Parameter make: makes a tensor of the elements of `[height, width, channels]`.
  public static func torch(
    _ noise: TorchNoise, make: @escaping @Sendable (_ elements: [Float], _ shape: Shape) -> State
  ) -> NoiseSource {
    NoiseSource(
      draw: { field, stream, shape in
        make(noise.channelsLast(draw: Int(stream), image: Int(field.image), shape: shape), shape)
      }, isSequential: true)
  }
}

/// How the draws of a stochastic solver hang together.
public enum NoiseCorrelation: String, Hashable, Sendable, Codable {
  /// Every draw is fresh.
  case independent
  /// All draws are increments of one Brownian path: more steps follow the same path more closely.
  case brownian
}
