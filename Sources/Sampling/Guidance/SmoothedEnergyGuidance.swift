extension Guidance {
  /// Smoothed energy guidance on top of this one: away from a model whose self-attention queries are blurred.
  ///
  /// Hong 2024, arXiv:2408.00760, algorithm 1. The paper takes scale 3, the middle of the UNet and an infinite blur.
  ///
  /// - Parameter sigma: of the blur, in pixels of the layer; infinite for the mean of all queries.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` as ``PerturbedGuidance``.
  public func smoothedEnergy(
    scale: Double = 3, sigma: Double = .infinity, layers: [String] = ["mid_block"],
    interval: (lower: Double, upper: Double) = (0, .infinity)
  ) throws(SamplingError) -> PerturbedGuidance<Self> {
    try PerturbedGuidance(self, scale: scale, .blurredQueries(sigma: sigma, layers: layers), interval: interval)
  }
}
