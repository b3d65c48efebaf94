extension Guidance {
  /// Skip-layer guidance on top of this one: away from a model without some of its layers.
  ///
  /// As with Stable Diffusion 3.5; of the kind of spatiotemporal skip guidance, Hyung et al. 2024, arXiv:2411.18664.
  ///
  /// - Parameter interval: the noise levels at which layers are left out, for everybody else uses it in part of the
  ///   run. Counted in sigma / alpha, not in steps.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` as ``PerturbedGuidance``.
  public func skippingLayers(
    _ layers: [String], scale: Double = 2.8, interval: (lower: Double, upper: Double) = (0, .infinity)
  ) throws(SamplingError) -> PerturbedGuidance<Self> {
    try PerturbedGuidance(self, scale: scale, .skipped(layers: layers), interval: interval)
  }
}
