import RealModule

/// The per-step noise variances β of a variance-preserving model, by diffusers' names.
public enum BetaSchedule: Hashable, Sendable {
  /// Evenly spaced from `start` to `end` (DDPM, Ho et al. 2020, arXiv:2006.11239).
  case linear(start: Double, end: Double)
  /// Squares of evenly spaced roots: Stable Diffusion's.
  case scaledLinear(start: Double, end: Double)
  /// From the squared cosine ᾱ of Nichol and Dhariwal 2021, arXiv:2102.09672, each β at most 0.999.
  case squaredCosine

  /// The β of `count` training steps.
  public func betas(count: Int) -> [Double] {
    func ramp(_ start: Double, _ end: Double) -> [Double] {
      (0..<count).map { count == 1 ? start : start + (end - start) * Double($0) / Double(count - 1) }
    }
    switch self {
    case .linear(let start, let end):
      return ramp(start, end)
    case .scaledLinear(let start, let end):
      return ramp(start.squareRoot(), end.squareRoot()).map { $0 * $0 }
    case .squaredCosine:
      func alphaBar(_ time: Double) -> Double {
        let cosine = Double.cos((time + 0.008) / 1.008 * .pi / 2)
        return cosine * cosine
      }
      return (0..<count).map {
        min(1 - alphaBar(Double($0 + 1) / Double(count)) / alphaBar(Double($0) / Double(count)), 0.999)
      }
    }
  }
}
