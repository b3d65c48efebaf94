extension Guidance {
  /// Perturbed-attention guidance on top of this one: away from a model whose self-attention passes its values on.
  ///
  /// Ahn et al. 2024, arXiv:2403.17377, eq. 16. The paper takes scale 3 and the middle of the UNet.
  ///
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` as ``PerturbedGuidance``.
  public func perturbedAttention(
    scale: Double = 3, layers: [String] = ["mid_block"], interval: (lower: Double, upper: Double) = (0, .infinity)
  ) throws(SamplingError) -> PerturbedGuidance<Self> {
    try PerturbedGuidance(self, scale: scale, .identityAttention(layers: layers), interval: interval)
  }
}
