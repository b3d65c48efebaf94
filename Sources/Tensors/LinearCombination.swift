/// Σ cᵢ xᵢ + Σ cⱼ zⱼ: the one primitive that carries all sampling.
@frozen public struct LinearCombination<Operand: Sendable>: Sendable {
  @frozen public struct Term: Sendable {
    public var coefficient: Double
    public var operand: Operand

    @inlinable public init(_ coefficient: Double, _ operand: Operand) {
      self.coefficient = coefficient
      self.operand = operand
    }
  }

  public typealias Noise = NoiseTerm

  public var terms: [Term]
  public var noises: [Noise]

  @inlinable public init(_ terms: [Term], noises: [Noise] = []) {
    self.terms = terms
    self.noises = noises
  }
}

/// A multiple of standard normal noise. An independent draw is one of these, an increment of a Brownian path the sum of
/// several.
public struct NoiseTerm: Sendable {
  public var coefficient: Double
  public var field: NoiseField

  public init(_ coefficient: Double, _ field: NoiseField) {
    self.coefficient = coefficient
    self.field = field
  }
}
