import Fewstep

/// Mean and covariance of features, and the distance between two such sets.
public struct FeatureStatistics: Sendable {
  public let mean: [Double]
  /// Row-major.
  public let covariance: [Double]

  public init(mean: [Double], covariance: [Double]) {
    precondition(covariance.count == mean.count * mean.count)
    self.mean = mean
    self.covariance = covariance
  }

  /// Of samples of equal length, the covariance being the unbiased estimate.
  ///
  /// - Precondition: there are two samples or more.
  public init(of samples: [[Double]]) {
    precondition(samples.count > 1)
    let size = samples[0].count
    let mean = (0..<size).map { column in samples.reduce(0) { $0 + $1[column] } / Double(samples.count) }
    var covariance = Array(repeating: 0.0, count: size * size)
    for sample in samples {
      let deviation = zip(sample, mean).map { $0 - $1 }
      for row in 0..<size {
        for column in 0..<size { covariance[row * size + column] += deviation[row] * deviation[column] }
      }
    }
    self.init(mean: mean, covariance: covariance.map { $0 / Double(samples.count - 1) })
  }

  /// The Fréchet distance of two normal distributions: |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).
  ///
  /// Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6. Σ₁ Σ₂ has the eigenvalues of the symmetric
  /// Σ₁^½ Σ₂ Σ₁^½, whose roots LAPACK gives without complex numbers.
  ///
  /// - Throws: `SymmetricEigensystem.Failure` where a covariance is not finite.
  public func frechetDistance(to other: FeatureStatistics) throws(SymmetricEigensystem.Failure) -> Double {
    let size = mean.count
    let root = try SymmetricEigensystem(covariance, size: size).squareRoot
    let product = Self.multiply(Self.multiply(root, other.covariance, size), root, size)
    let traceOfRoot = try SymmetricEigensystem(product, size: size).values.reduce(0) { $0 + max($1, 0).squareRoot() }
    let means = zip(mean, other.mean).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let traces = (0..<size).reduce(0) { $0 + covariance[$1 * (size + 1)] + other.covariance[$1 * (size + 1)] }
    return means + traces - 2 * traceOfRoot
  }

  private static func multiply(_ left: [Double], _ right: [Double], _ size: Int) -> [Double] {
    var product = Array(repeating: 0.0, count: size * size)
    for row in 0..<size {
      for inner in 0..<size {
        let factor = left[row * size + inner]
        for column in 0..<size { product[row * size + column] += factor * right[inner * size + column] }
      }
    }
    return product
  }
}
