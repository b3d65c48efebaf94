import RealModule

/// The x below which the beta distribution with density proportional to x^(a-1) (1-x)^(b-1) has the share `p`: the
/// inverse of the regularised incomplete beta function.
///
/// - Precondition: a and b are positive.
package func betaQuantile(_ p: Double, a: Double, b: Double) -> Double {
  BetaDistribution(a: a, b: b).quantile(p)
}

private struct BetaDistribution {
  let a: Double
  let b: Double

  /// ln B(a, b).
  private var logBeta: Double { .logGamma(a) + .logGamma(b) - .logGamma(a + b) }

  /// ln of the share below e^`logX`, for e^`logX` up to 1/2: I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) times a series of
  /// positive terms (DLMF 8.17.8), so that no digits cancel.
  private func logShare(belowExp logX: Double) -> Double {
    let x = Double.exp(logX)
    var (sum, term, n) = (1.0, 1.0, 0.0)
    repeat {
      term *= (a + b + n) / (a + 1 + n) * x
      sum += term
      n += 1
    } while term > sum * Double.ulpOfOne / 4 || (a + b + n) * x >= a + 1 + n
    return a * logX + b * .log(onePlus: -x) - .log(a) - logBeta + .log(sum)
  }

  func quantile(_ p: Double) -> Double {
    if p <= 0 { return 0 }
    if p >= 1 { return 1 }
    let middle = Double.exp(logShare(belowExp: -.log(2)))
    return p <= middle ? lowQuantile(p) : 1 - BetaDistribution(a: b, b: a).lowQuantile(1 - p)
  }

  /// Newton's method in ln x against ln p, which is nearly a straight line of slope a there, kept in a bracket.
  private func lowQuantile(_ p: Double) -> Double {
    let target = Double.log(p)
    var high = -Double.log(2)
    // ln p at x is at least a ln x + b ln(1 - x) - ln(a B) and at most that without (1 - x)^b for b > 1, so this is low
    // enough.
    var low = min((target + .log(a) + logBeta) / a, high) - 1 - (1 + b) / a
    var logX = min(max((target + .log(a) + logBeta) / a, low), high)
    for _ in 0..<100 {
      let share = logShare(belowExp: logX)
      if share > target { high = logX } else { low = logX }
      // d ln I / d ln x = x density / I.
      let slope = Double.exp(a * logX + (b - 1) * .log(onePlus: -.exp(logX)) - logBeta - share)
      var next = logX - (share - target) / slope
      if !(next >= low && next <= high) { next = (low + high) / 2 }
      if abs(next - logX) <= 2 * Double.ulpOfOne * max(abs(logX), 1) { return .exp(next) }
      logX = next
    }
    return .exp(logX)
  }
}
