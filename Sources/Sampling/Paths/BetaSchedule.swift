import RealModule

/// The per-step noise variances β of a variance-preserving model, by diffusers' names.
public enum BetaSchedule: Hashable, Sendable {
  /// Evenly spaced from `start` to `end` (DDPM, Ho et al. 2020, arXiv:2006.11239).
  case linear(start: Double, end: Double)
  /// Squares of evenly spaced roots: Stable Diffusion's.
  case scaledLinear(start: Double, end: Double)
  /// From the squared cosine ᾱ of Nichol and Dhariwal 2021, arXiv:2102.09672, each β at most 0.999.
  case squaredCosine
  /// From `start` to `end` along the logistic function on -6...6 (GeoDiff, Xu et al. 2022, arXiv:2203.02923).
  case sigmoid(start: Double, end: Double)
  /// ᾱ = e^(-12 t): all β equal.
  case exponential
  /// From lambda that follows a Laplace distribution, as diffusers' `DDPMScheduler` has it: ᾱ is there the root of
  /// snr / (1 + snr) with log snr = ∓ log(1 - 2 |t - 1/2| + 10⁻⁶) / 2. Hang et al. 2024, arXiv:2407.03297, who propose
  /// the distribution, mean by it a path with less noise at either end.
  case laplace

  /// The β of `count` training steps.
  public func betas(count: Int) -> [Double] {
    func ramp(_ start: Double, _ end: Double) -> [Double] {
      (0..<count).map { count == 1 ? start : start + (end - start) * Double($0) / Double(count - 1) }
    }
    func betas(_ alphaBar: (Double) -> Double) -> [Double] {
      (0..<count).map {
        min(1 - alphaBar(Double($0 + 1) / Double(count)) / alphaBar(Double($0) / Double(count)), 0.999)
      }
    }
    switch self {
    case .linear(let start, let end):
      return ramp(start, end)
    case .scaledLinear(let start, let end):
      return ramp(start.squareRoot(), end.squareRoot()).map { $0 * $0 }
    case .sigmoid(let start, let end):
      return ramp(-6, 6).map { start + (end - start) / (1 + .exp(-$0)) }
    case .squaredCosine:
      return betas { time in
        let cosine = Double.cos((time + 0.008) / 1.008 * .pi / 2)
        return cosine * cosine
      }
    case .exponential:
      return betas { .exp(-12 * $0) }
    case .laplace:
      return betas { time in
        let tail = -0.5 * Double.log(1 - 2 * abs(0.5 - time) + 1e-6)
        return (1 / (1 + Double.exp(time <= 0.5 ? -tail : tail))).squareRoot()
      }
    }
  }
}
