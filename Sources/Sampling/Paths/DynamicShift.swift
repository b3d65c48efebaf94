import RealModule

/// A shift of rectified flow that grows with the size of the image.
///
/// mu is a straight line through two sizes, counted in tokens: `base` at 256 tokens and `maximum` at 4096, if not
/// otherwise said. Where the shift of a straight path multiplies the odds sigma / (1 - sigma) by a number, this says by
/// which: e^mu (`.exponential`: FLUX's, diffusers' `time_shift_type`) or mu itself (`.linear`).
public struct DynamicShift: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
    case exponential
    case linear
  }

  public var kind: Kind
  public var base: Double
  public var maximum: Double
  public var baseTokens: Int
  public var maximumTokens: Int

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` where the sizes give no line, or the numbers are
  ///   not finite.
  public init(
    _ kind: Kind = .exponential, base: Double = 0.5, maximum: Double = 1.15, baseTokens: Int = 256,
    maximumTokens: Int = 4096
  ) throws(SamplingError) {
    guard baseTokens > 0, maximumTokens > baseTokens else {
      throw .invalidOption(
        name: "the sizes of the dynamic shift", found: "\(baseTokens) and \(maximumTokens) tokens",
        expected: "two positive sizes, the smaller first")
    }
    guard base.isFinite, maximum.isFinite else {
      throw .invalidOption(name: "the dynamic shift", found: "\(base) to \(maximum)", expected: "finite numbers")
    }
    self.kind = kind
    self.base = base
    self.maximum = maximum
    self.baseTokens = baseTokens
    self.maximumTokens = maximumTokens
  }

  /// mu of an image of so many tokens.
  public func mu(tokens: Int) -> Double {
    base + (maximum - base) * (Double(tokens) - Double(baseTokens)) / Double(maximumTokens - baseTokens)
  }

  /// The shift to give to ``RectifiedFlow`` for an image of so many tokens.
  ///
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a number of tokens that is not positive.
  public func shift(tokens: Int) throws(SamplingError) -> Double {
    guard tokens > 0 else {
      throw .invalidOption(name: "the number of image tokens", found: "\(tokens)", expected: "a positive number")
    }
    return kind == .exponential ? .exp(mu(tokens: tokens)) : mu(tokens: tokens)
  }
}
