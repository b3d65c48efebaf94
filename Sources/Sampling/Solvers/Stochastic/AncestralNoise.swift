/// How much noise an ancestral step puts in the place of what it takes out.
struct AncestralNoise: Hashable, Sendable {
  /// How much of the noise is fresh: 0 for none, 1 for the reverse diffusion.
  let eta: Double
  /// Multiplies the noise; 1 keeps the marginals.
  let scale: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1 and the noise is not
  ///   negative.
  init(eta: Double, scale: Double = 1) throws(SamplingError) {
    guard (0...1).contains(eta) else { throw .invalidOption(name: "eta", found: "\(eta)", expected: "0 to 1") }
    try checkNoise("the scale of the noise", scale)
    self.eta = eta
    self.scale = scale
  }

  func step(from s: TimePoint, to t: TimePoint) -> ReverseStep { ReverseStep(ancestral: eta, from: s, to: t) }

  /// What is drawn for `step`.
  func draw(_ step: ReverseStep, from s: TimePoint, to t: TimePoint) -> PlanExpression {
    scale * step.deviation * .noise(from: s, to: t)
  }
}
