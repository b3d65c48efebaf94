import Tensors

/// How the range that levels shall cover is found from values.
public enum RangeObserver: Hashable, Sendable {
  /// All of them.
  case absmax
  /// From the quantile 1 - q to the quantile q, or up to the quantile q of the magnitudes where levels are symmetric;
  /// q lies in 0.5 to 1.
  case percentile(Double)
  /// The share of the whole range, in hundredths from 0.2, with which the squares of the errors sum up to least. Never
  /// worse in that than ``absmax``.
  case meanSquaredError

  /// The scale for `values`, none of which is NaN.
  public func scale(of values: some Collection<Double>, symmetry: LevelSymmetry, bits: Int) -> LevelScale {
    guard let least = values.min(), let most = values.max() else {
      return symmetry.scale(covering: 0...0, bits: bits)
    }
    switch self {
    case .absmax:
      return symmetry.scale(covering: least...most, bits: bits)
    case .percentile(let q):
      precondition((0.5...1).contains(q), "percentile \(q)")
      if symmetry == .symmetric {
        let bound = quantile(q, of: values.map(abs))
        return symmetry.scale(covering: -bound...bound, bits: bits)
      }
      let values = Array(values)
      return symmetry.scale(covering: quantile(1 - q, of: values)...quantile(q, of: values), bits: bits)
    case .meanSquaredError:
      var best = symmetry.scale(covering: least...most, bits: bits)
      var bestError = Self.squaredError(of: values, best)
      for share in (20..<100).reversed() {
        let factor = Double(share) / 100
        let scale = symmetry.scale(covering: min(least, 0) * factor...max(most, 0) * factor, bits: bits)
        let error = Self.squaredError(of: values, scale)
        if error < bestError { (best, bestError) = (scale, error) }
      }
      return best
    }
  }

  /// Σ (x - rounded x)².
  static func squaredError(of values: some Collection<Double>, _ scale: LevelScale) -> Double {
    values.reduce(0) { sum, value in
      let error = value - scale.rounded(value)
      return sum + error * error
    }
  }
}
