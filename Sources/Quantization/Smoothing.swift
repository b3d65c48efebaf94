import RealModule
import Tensors

/// Factors that move the range of activations' channels into the weights, where rounding costs less.
///
/// Xiao et al. 2022, arXiv:2211.10438, eq. 4: sⱼ = max|Xⱼ|^α / max|Wⱼ|^(1-α); activations are divided by the factors
/// and weights multiplied, so that their product stays what it is.
public struct Smoothing: Hashable, Sendable {
  /// One per channel that is summed over.
  public let factors: [Double]

  /// - Parameters:
  ///   - activations: the largest magnitude of each channel.
  ///   - weights: `[outputs, channels]`.
  ///   - strength: α, from 0 for all in the activations to 1 for all in the weights.
  ///   - usesPowersOfTwo: whether factors are rounded to those, with which nothing else is rounded in floats.
  /// - Precondition: the channels are as many, and α lies in 0...1.
  public init(
    activations: [Double], weights: some ElementTensor, strength: Double = 0.5, usesPowersOfTwo: Bool = false
  ) {
    precondition(weights.shape.rank == 2 && weights.shape[1] == activations.count, "\(weights.shape)")
    precondition((0...1).contains(strength), "strength \(strength)")
    var largest = Array(repeating: 0.0, count: activations.count)
    for (index, value) in weights.elementValues.enumerated() {
      largest[index % largest.count] = max(largest[index % largest.count], value.magnitude)
    }
    factors = zip(activations, largest).map { activation, weight in
      // A channel that is always 0 on one side gains nothing.
      guard activation > 0, weight > 0 else { return 1 }
      let exponent = strength * .log2(activation) - (1 - strength) * .log2(weight)
      return usesPowersOfTwo
        ? Double(sign: .plus, exponent: Int(exponent.rounded()), significand: 1) : .exp2(exponent)
    }
  }

  /// Activations `[..., channels]` over the factors.
  public func migrated<T: ElementTensor>(activations: T) -> T { scaled(activations) { $0 / $1 } }

  /// Weights `[outputs, channels]` times the factors.
  public func migrated<T: ElementTensor>(weights: T) -> T { scaled(weights) { $0 * $1 } }

  private func scaled<T: ElementTensor>(_ tensor: T, _ scale: (Double, Double) -> Double) -> T {
    precondition(tensor.shape.rank > 0 && tensor.shape[-1] == factors.count, "\(tensor.shape)")
    let values = tensor.elementValues.enumerated().map { scale($1, factors[$0 % factors.count]) }
    return T(elements: values, shape: tensor.shape)
  }
}
