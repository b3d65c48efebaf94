import RealModule

/// The normal numbers that `torch.randn` draws on the CPU, in single precision.
///
/// What PyTorch 2 does (`aten/src/ATen/native/cpu/DistributionTemplates.h`): 16 numbers or more are made of as many
/// uniforms of 24 bits, in blocks of 16 by the Box-Muller transform, the last block anew where the count is no multiple
/// of 16; fewer are made one after another from uniforms of 53 bits. PyTorch's vectorised logarithm and cosine are not
/// rounded correctly, so that a number may differ in its last bits.
public struct TorchGenerator: Sendable {
  private var engine: MersenneTwister
  /// The second number of the pair drawn last, where numbers are drawn one by one.
  private var spare: Double?

  /// `torch.Generator().manual_seed(seed)`.
  public init(seed: UInt64) {
    engine = MersenneTwister(seed: seed)
  }

  /// `torch.randn(count)` with this generator, which moves on.
  public mutating func randn(_ count: Int) -> [Float] {
    guard count >= 16 else { return (0..<max(count, 0)).map { _ in Float(nextNormal()) } }
    var values = uniforms(count)
    for start in stride(from: 0, through: count - 16, by: 16) { Self.transform(&values, from: start) }
    if count % 16 != 0 {
      values.replaceSubrange((count - 16)..., with: uniforms(16))
      Self.transform(&values, from: count - 16)
    }
    return values
  }

  private mutating func uniforms(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(engine.next() & 0xFF_FFFF) * 0x1p-24 }
  }

  /// Box-Muller on the pairs (j, j + 8) of a block of 16.
  private static func transform(_ values: inout [Float], from start: Int) {
    for index in start..<start + 8 {
      // In single precision where PyTorch is: the rounded angle is not a whole number of last places off.
      let radius = (-2 * Float(Double.log(Double(1 - values[index])))).squareRoot()
      let angle = Double(Float(2 * Double.pi) * values[index + 8])
      values[index] = radius * Float(Double.cos(angle))
      values[index + 8] = radius * Float(Double.sin(angle))
    }
  }

  private mutating func nextNormal() -> Double {
    if let spare = spare.take() { return spare }
    let (first, second) = (nextUniform(), nextUniform())
    let radius = (-2 * Double.log(onePlus: -second)).squareRoot()
    spare = radius * .sin(2 * .pi * first)
    return radius * .cos(2 * .pi * first)
  }

  private mutating func nextUniform() -> Double {
    let high = UInt64(engine.next()) << 32
    return Double((high | UInt64(engine.next())) & ((1 << 53) - 1)) * 0x1p-53
  }
}
