import RealModule
import Tensors

/// Data from a mixture of isotropic Gaussians, whose denoiser is known exactly.
///
/// The posterior weight of a component follows from its density at the state; the best guess of x₀ is the weighted mean
/// of the components' own guesses. With variance 0 the data are points.
public struct GaussianMixtureData: Sendable {
  public struct Component: Sendable {
    public let weight: Double
    public let mean: [Double]
    public let variance: Double

    public init(weight: Double, mean: [Double], variance: Double) {
      self.weight = weight
      self.mean = mean
      self.variance = variance
    }
  }

  public let components: [Component]

  /// - Precondition: there is a component, all means are of one length, weights are positive and no variance negative.
  public init(_ components: [Component]) {
    precondition(!components.isEmpty && Set(components.map(\.mean.count)).count == 1)
    precondition(components.allSatisfy { $0.weight > 0 && $0.variance >= 0 })
    self.components = components
  }

  /// What an ideal model returns for `state`, at a point with noise.
  public func prediction(_ prediction: Prediction, of state: DoubleTensor, at point: TimePoint) -> DoubleTensor {
    let (alpha, sigma) = (point.alpha, point.sigma)
    let logarithms = components.map { component in
      let variance = alpha * alpha * component.variance + sigma * sigma
      let distance = zip(state.values, component.mean).reduce(0) { sum, pair in
        let difference = pair.0 - alpha * pair.1
        return sum + difference * difference
      }
      return Double.log(component.weight) - distance / (2 * variance)
        - 0.5 * Double(state.values.count) * .log(variance)
    }
    let largest = logarithms.max() ?? 0
    let weights = logarithms.map { Double.exp($0 - largest) }
    let total = weights.reduce(0, +)
    var sample = Array(repeating: 0.0, count: state.values.count)
    for (component, weight) in zip(components, weights) {
      let gain = alpha * component.variance / (alpha * alpha * component.variance + sigma * sigma)
      for index in sample.indices {
        let guess = component.mean[index] + gain * (state.values[index] - alpha * component.mean[index])
        sample[index] += weight / total * guess
      }
    }
    return exactPrediction(
      prediction, sample: DoubleTensor(sample, shape: state.shape), state: state, at: point)
  }
}
