import RealModule

/// Noise levels evenly spaced in their logarithm, or, with a ρ other than 1, along the ρth power of an even ramp.
///
/// k-diffusion's `exponential` and `polyexponential`. With ρ = 1 the levels of a path where they are σ̂ are evenly
/// spaced in lambda: diffusers' `use_lu_lambdas`, after Lu et al. 2022, arXiv:2206.00927, section 3.4, is the same.
public struct ExponentialGrid: NoiseLevelGrid {
  public var steps: Int
  public var rho: Double
  public var options: NoiseLevelOptions

  public init(steps: Int, rho: Double = 1, options: NoiseLevelOptions = .init()) {
    self.steps = steps
    self.rho = rho
    self.options = options
  }

  public func levels(from highest: Double, to lowest: Double) throws(SamplingError) -> [Double] {
    try checkExponent(rho)
    return evenLevels(from: highest, to: lowest)
  }

  func evenLevels(from highest: Double, to lowest: Double) -> [Double] {
    let span = Double.log(highest / lowest)
    return spread(from: highest, to: lowest) { lowest * .exp(span * .pow(1 - $0, rho)) }
  }
}
