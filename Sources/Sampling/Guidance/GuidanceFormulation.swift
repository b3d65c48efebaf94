import Tensors

/// What a guidance scale w is counted from. d is the direction of guidance: c - u, or what a method makes of it.
public enum GuidanceFormulation: String, Hashable, Sendable, Codable, CaseIterable {
  /// u + w d. 1 is no guidance: Imagen (arXiv:2205.11487) and diffusers' default.
  case fromUnconditional
  /// c + w d. 0 is no guidance: Ho and Salimans 2022, arXiv:2207.12598, eq. 6, and diffusers' "original formulation".
  case fromConditional
  /// c + (w - 1) d. 1 is no guidance, whatever becomes of d: Sadat et al. 2024, arXiv:2410.02416.
  case excess

  /// The scale that means no guidance.
  public var neutralScale: Double { self == .fromConditional ? 0 : 1 }

  /// What a method that compares c and u evaluates: both, or c alone at the scale that means no guidance.
  func branches(_ scale: Double) -> [GuidanceBranch] {
    scale == neutralScale ? [.conditional] : [.unconditional, .conditional]
  }

  /// What w comes to in u + w (c - u).
  func weight(_ scale: Double) -> Double { self == .fromConditional ? scale + 1 : scale }

  /// Guidance of `scale` along `direction`.
  func guided<State: Tensor>(
    conditional: State, unconditional: State, direction: State, scale: Double
  ) -> State {
    switch self {
    case .fromUnconditional: .combining((1, unconditional), (scale, direction))
    case .fromConditional: .combining((1, conditional), (scale, direction))
    case .excess: .combining((1, conditional), (scale - 1, direction))
    }
  }
}

/// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the value is finite and lies in `range`.
func require(
  _ name: String, _ value: Double, in range: ClosedRange<Double>, _ expected: String
) throws(SamplingError) {
  guard value.isFinite, range.contains(value) else {
    throw .invalidOption(name: name, found: "\(value)", expected: expected)
  }
}

/// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless the scale is finite and not negative.
func requireScale(_ scale: Double, _ name: String = "the guidance scale") throws(SamplingError) {
  try require(name, scale, in: 0...Double.greatestFiniteMagnitude, "a finite number of 0 or more")
}
