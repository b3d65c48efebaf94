/// The noise that diffusers' pipelines draw from torch generators on the CPU, as a function of draw and image.
///
/// A pipeline draws the starting latents first and then whatever its scheduler adds, each time for the whole batch as
/// `[batch, channels, height, width]`; with a list of generators each image has its own. Draws can be asked for in any
/// order; in order they cost one pass.
public final class TorchNoise: Sendable {
  /// Whose generator draws.
  public enum Generators: Hashable, Sendable {
    /// One for all images: `generator=torch.Generator().manual_seed(seed)`, for a batch of so many.
    case shared(seed: UInt64, batch: Int)
    /// One for each image: a list of generators.
    case perImage(seeds: [UInt64])
  }

  public let generators: Generators

  private struct Sequence {
    /// The generator before draw 0, 1, 2 ...
    var states: [TorchGenerator]
    var lastDraw: (index: Int, values: [Float])?
  }

  /// By the image, or one in all.
  private let sequences: Lock<[Sequence]>

  public init(_ generators: Generators) {
    self.generators = generators
    let seeds =
      switch generators {
      case .shared(let seed, _): [seed]
      case .perImage(let seeds): seeds
      }
    sequences = Lock(seeds.map { Sequence(states: [TorchGenerator(seed: $0)]) })
  }

  /// How many images there is noise for.
  public var imageCount: Int {
    switch generators {
    case .shared(_, let batch): batch
    case .perImage(let seeds): seeds.count
    }
  }

  /// The noise of an image in draw 0, 1, 2 ..., in the order that torch holds it.
  ///
  /// - Parameter count: elements of one image; the same in every call.
  /// - Precondition: there is noise for the image.
  public func values(draw: Int, image: Int, count: Int) -> [Float] {
    precondition((0..<imageCount).contains(image), "image \(image) of \(imageCount)")
    switch generators {
    case .perImage: return drawn(draw, of: image, count: count)
    case .shared: return Array(drawn(draw, of: 0, count: count * imageCount)[image * count..<(image + 1) * count])
    }
  }

  /// The same as `[height, width, channels]`, from torch's channels first.
  ///
  /// - Precondition: the shape has three dimensions.
  public func channelsLast(draw: Int, image: Int, shape: Shape) -> [Float] {
    precondition(shape.rank == 3, "\(shape) is no image")
    let values = values(draw: draw, image: image, count: shape.count)
    let (pixels, channels) = (shape[0] * shape[1], shape[2])
    return (0..<shape.count).map { values[$0 % channels * pixels + $0 / channels] }
  }

  private func drawn(_ draw: Int, of sequence: Int, count: Int) -> [Float] {
    sequences.withLock { sequences in
      if let last = sequences[sequence].lastDraw, last.index == draw { return last.values }
      while sequences[sequence].states.count <= draw {
        var generator = sequences[sequence].states[sequences[sequence].states.count - 1]
        _ = generator.randn(count)
        sequences[sequence].states.append(generator)
      }
      var generator = sequences[sequence].states[draw]
      let values = generator.randn(count)
      if sequences[sequence].states.count == draw + 1 { sequences[sequence].states.append(generator) }
      sequences[sequence].lastDraw = (draw, values)
      return values
    }
  }
}
