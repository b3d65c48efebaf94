import RealModule

/// A step that is exact in its linear part: x(t) = carry x(s) + w₁ f + w₂ h f′ + w₃ h² f″ + ..., f and its derivatives
/// by lambda being the prediction's at s.
protocol IntegratingStep {
  /// The step in lambda; infinite where it ends at sigma 0.
  var h: Double { get }
  var carry: Double { get }
  /// wₖ.
  func weight(_ k: Int) -> Double
}

extension ExponentialStep: IntegratingStep {}

/// One step of a reverse SDE, exact in its linear part and in its noise, in x₀ or ε.
///
/// With D the clean image, the SDEs that share the marginals of the probability-flow ODE are, in y = x / alpha and
/// σ̂ = sigma / alpha = e^(-lambda),
///
///     dy = (1 + τ²) (D - y) dλ + √2 τ σ̂ dB(λ)
///
/// for any τ(λ) >= 0 (Xue et al. 2023, arXiv:2309.05019; τ = 1 is the reverse of the forward
/// diffusion: Song et al. 2021, arXiv:2011.13456, eq. 6). Where τ is constant over the step, for x₀
///
///     carry = sigma_t / sigma_s e^(-τ²h),  wₖ = alpha_t g h φₖ(-g h),  deviation = sigma_t √(1 - e^(-2τ²h))
///
/// and for ε
///
///     carry = alpha_t / alpha_s,  wₖ = -sigma_t g h φₖ(h),  deviation = τ sigma_t √(e^(2h) - 1)
///
/// with g = 1 + τ². With τ = 0 this is ``ExponentialStep``, number by number.
///
/// Which noise it is: the one of x₀ is ∫ e^(τ²λ) dB scaled, an increment of Brownian motion in the clock e^(2τ²λ); that
/// of ε is one in -e^(-2λ). `.noise(from:to:)` runs on e^(2λ), the clock of x₀ with τ = 1. Increments that one B gives
/// in two such clocks, e^(aλ) and e^(bλ), scaled to variance 1, correlate as 1 - (a - b)² h² / 96, and what they differ
/// by is independent from step to step. Taking the one for the other therefore moves a path by O(h), no more than a
/// scheme with one increment a step does anyway, and no distribution at all.
struct ReverseStep: IntegratingStep {
  let h: Double
  let carry: Double
  /// Standard deviation of the noise that the step adds.
  let deviation: Double
  /// 1 + τ².
  private let g: Double
  private let scale: Double
  private let exponent: Double
  /// w₃ as diffusers computes it: -1/2 stands where +1/2 belongs, so that it tends to -alpha and not to 0 with h.
  private let hasPublishedThird: Bool

  /// - Parameters:
  ///   - prediction: `.sample` or `.epsilon`.
  ///   - tauSquared: τ², which k-diffusion calls eta.
  init(
    _ prediction: Prediction, from s: TimePoint, to t: TimePoint, tauSquared: Double, hasPublishedThird: Bool = false
  ) {
    h = t.lambda - s.lambda
    self.hasPublishedThird = hasPublishedThird
    g = 1 + tauSquared
    if prediction == .sample {
      // At sigma 0, where h is infinite, nothing but the prediction stays.
      let damping = tauSquared == 0 ? 0 : tauSquared * h
      carry = t.sigma / s.sigma * .exp(-damping)
      deviation = t.sigma * (-Double.expMinusOne(-2 * damping)).squareRoot()
      (scale, exponent) = (t.alpha, -g)
    } else {
      carry = t.alpha / s.alpha
      deviation = tauSquared == 0 ? 0 : t.sigma * (tauSquared * Double.expMinusOne(2 * h)).squareRoot()
      (scale, exponent) = (-t.sigma, 1)
    }
  }

  /// The step of an ancestral sampler, in x₀: down to a level σ̂_d below the target's, and up again by noise, with
  /// up² = eta² σ̂_t² (1 - σ̂_t² / σ̂_s²) and σ̂_d² = σ̂_t² - up².
  ///
  /// It is the step of τ² = -log(1 - eta² (1 - e^(-2h))) / 2h, which tends to eta² with h and is 1 for eta 1. So with
  /// eta strictly between it approaches its SDE at first order only, whatever the solver; the marginals, which are
  /// those of every τ, are not concerned.
  init(ancestral eta: Double, from s: TimePoint, to t: TimePoint) {
    let h = t.lambda - s.lambda
    let kept = (1 - eta * eta) + eta * eta * .exp(-2 * h)
    let tauSquared = eta == 1 || h == 0 || !h.isFinite ? eta * eta : -0.5 * .log(kept) / h
    self.init(.sample, from: s, to: t, tauSquared: tauSquared)
  }

  /// How far in lambda the level that an ancestral step goes down to lies from its start: -log(σ̂_d / σ̂_s).
  var descent: Double { g * h }

  /// wₖ, with the limit at sigma 0 for x₀: alpha / (k - 1)!.
  func weight(_ k: Int) -> Double {
    guard h.isFinite else { return scale / (1..<max(k, 2)).reduce(1.0) { $0 * Double($1) } }
    return scale * g * h * phi(k, exponent * h) - (hasPublishedThird && k == 3 ? scale : 0)
  }

  /// wₖ / φₖ: the weight that a kernel taken for constant gives.
  var lengthWeight: Double { scale * g * h }

  /// ∫ over the step of the polynomial Σ cₖ (u / h)ᵏ in u = λ - λ_s against the step's kernel: Σ cₖ k! wₖ₊₁.
  func integral(of polynomial: [Double]) -> Double {
    var (sum, factorial) = (0.0, 1.0)
    for (power, coefficient) in polynomial.enumerated() {
      if power > 0 { factorial *= Double(power) }
      sum += coefficient * factorial * weight(power + 1)
    }
    return sum
  }
}

/// Refuses amounts of noise that are negative or not finite.
func checkNoise(_ name: String, _ value: Double) throws(SamplingError) {
  guard value >= 0, value.isFinite else {
    throw .invalidOption(name: name, found: "\(value)", expected: "a finite number, 0 or more")
  }
}
