import RealModule

/// Standard normal noise as a function: z = f(seed, image, stream, element).
///
/// An image's noise depends on nothing else, so it comes out bit for bit the same alone, in any batch, on any number
/// of threads and in any order of evaluation.
public struct NoiseField: Hashable, Sendable, Codable {
  /// The user's seed.
  public var seed: UInt64
  /// Which image of the seed: images 0, 1, 2 ... of one seed are independent.
  public var image: UInt32
  /// Which draw of the image: 0 is the starting noise, later ones are what stochastic solvers add.
  public var stream: UInt32

  public init(seed: UInt64, image: UInt32 = 0, stream: UInt32 = 0) {
    self.seed = seed
    self.image = image
    self.stream = stream
  }

  /// Elements `4 * block ..< 4 * block + 4` of the field, by the Box-Muller transform in double precision.
  public func normals(block: Int) -> SIMD4<Double> {
    let block = UInt64(block)
    let words = Philox(seed: seed).block(
      at: SIMD4(UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32), stream, image))
    let scale = 1.0 / 4_294_967_296  // 2^-32
    var normals = SIMD4<Double>()
    for pair in [0, 2] {
      // Half a step keeps the uniform inside (0, 1): its logarithm is finite and never zero.
      let radius = (-2 * Double.log((Double(words[pair]) + 0.5) * scale)).squareRoot()
      let angle = 2 * Double.pi * (Double(words[pair + 1]) + 0.5) * scale
      normals[pair] = radius * Double.cos(angle)
      normals[pair + 1] = radius * Double.sin(angle)
    }
    return normals
  }

  /// Calls `body` with every element of the field below `count`, in order.
  @inlinable
  public func forEach(count: Int, _ body: (_ element: Int, _ normal: Double) -> Void) {
    var element = 0
    while element < count {
      let values = normals(block: element / 4)
      for lane in 0..<min(4, count - element) {
        body(element + lane, values[lane])
      }
      element += 4
    }
  }
}

extension NoiseField {
  /// The same image's noise in another draw.
  public func with(stream: UInt32) -> NoiseField {
    var field = self
    field.stream = stream
    return field
  }
}
