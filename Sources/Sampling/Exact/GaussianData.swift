import RealModule
import Tensors

/// Normally distributed data, whose denoiser and probability-flow trajectory are known exactly.
///
/// In the basis of the covariance's eigenvectors every coordinate is on its own: with data mean μ and variance v, the
/// state x = alpha x₀ + sigma ε has variance s = alpha² v + sigma², the best guess of x₀ is
/// μ + alpha v / s (x - alpha μ), and (x - alpha μ) / √s stays constant along the trajectory.
public struct GaussianData: Sendable {
  public let mean: [Double]
  /// The eigenvalues of the covariance.
  public let variances: [Double]
  /// The eigenvectors, one row each; nil where they are the axes.
  public let basis: [[Double]]?

  /// - Parameter basis: orthonormal rows, one per variance. The eigenvectors of a full covariance come from
  ///   `SymmetricEigensystem` in DenseTensors.
  /// - Precondition: all counts are equal and no variance is negative.
  public init(mean: [Double], variances: [Double], basis: [[Double]]? = nil) {
    precondition(variances.count == mean.count && variances.allSatisfy { $0 >= 0 })
    precondition(basis.map { $0.count == mean.count && $0.allSatisfy { $0.count == mean.count } } ?? true)
    self.mean = mean
    self.variances = variances
    self.basis = basis
  }

  /// What an ideal model returns for `state`, whose elements are the coordinates.
  public func prediction(_ prediction: Prediction, of state: DoubleTensor, at point: TimePoint) -> DoubleTensor {
    let sample = map(state, at: point, meanScale: 1) { variance in
      point.alpha * variance / stateVariance(variance, at: point)
    }
    return exactPrediction(prediction, sample: sample, state: state, at: point)
  }

  /// Where the probability-flow ODE takes `state` from one point to another.
  public func trajectory(of state: DoubleTensor, from s: TimePoint, to t: TimePoint) -> DoubleTensor {
    map(state, at: s, meanScale: t.alpha) { variance in
      (stateVariance(variance, at: t) / stateVariance(variance, at: s)).squareRoot()
    }
  }

  private func stateVariance(_ variance: Double, at point: TimePoint) -> Double {
    point.alpha * point.alpha * variance + point.sigma * point.sigma
  }

  /// `meanScale` μ plus the state's deviation from alpha μ, each coordinate of it times the gain of its variance.
  private func map(
    _ state: DoubleTensor, at point: TimePoint, meanScale: Double, gain: (_ variance: Double) -> Double
  ) -> DoubleTensor {
    var deviation = zip(state.values, mean).map { $0 - point.alpha * $1 }
    if let basis {
      let coordinates = zip(basis, variances).map { row, variance in
        gain(variance) * zip(row, deviation).reduce(0) { $0 + $1.0 * $1.1 }
      }
      deviation = deviation.indices.map { column in
        zip(basis, coordinates).reduce(0) { $0 + $1.0[column] * $1.1 }
      }
    } else {
      deviation = zip(deviation, variances).map { $0 * gain($1) }
    }
    return DoubleTensor(zip(deviation, mean).map { $0 + meanScale * $1 }, shape: state.shape)
  }
}

/// A known clean image, as what the model is to return.
func exactPrediction(
  _ prediction: Prediction, sample: DoubleTensor, state: DoubleTensor, at point: TimePoint
) -> DoubleTensor {
  let (fromState, fromSample) = Prediction.sample.coefficients(to: prediction, at: point)
  return .combining((fromState, state), (fromSample, sample))
}
