import Checkpoints
import DenseTensors
import Foundation
import Tensors

/// Sinusoids of the timestep, then two linear layers.
///
/// Vaswani et al. 2017, arXiv:1706.03762, section 3.5, in diffusers' arrangement. The sinusoids are computed in single
/// precision, as models have been trained with.
struct TimeEmbedding: Sendable {
  private let width: Int
  private let cosineFirst: Bool
  private let frequencyShift: Double
  private let linear1: PackedWeights
  private let linear2: PackedWeights
  private let activation: Activation

  init(
    _ loader: LayerLoader, width: Int, outputs: Int, cosineFirst: Bool, frequencyShift: Double, activation: Activation
  ) throws(CheckpointError) {
    self.width = width
    self.cosineFirst = cosineFirst
    self.frequencyShift = frequencyShift
    self.activation = activation
    linear1 = try loader.linear("linear_1", from: width, to: outputs)
    linear2 = try loader.linear("linear_2", from: outputs, to: outputs)
  }

  /// `[timesteps, outputs]`.
  func callAsFunction(_ timesteps: [Double]) -> DenseTensor<Float> {
    let half = width / 2
    var sinusoids: [Float] = []
    for timestep in timesteps {
      let angles = (0..<half).map { index in
        Float(timestep) * exp(-Float(log(10000.0)) * Float(index) / Float(Double(half) - frequencyShift))
      }
      let (first, second) =
        cosineFirst
        ? (angles.map { cos($0) }, angles.map { sin($0) }) : (angles.map { sin($0) }, angles.map { cos($0) })
      sinusoids += first + second + Array(repeating: 0, count: width % 2)
    }
    return DenseTensor(sinusoids, shape: [timesteps.count, width]).linear(linear1).activated(activation).linear(linear2)
  }
}
