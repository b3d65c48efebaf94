import DenseTensors
import Tensors

extension UNet2DConditionModel {
  /// How many feature maps skip connections carry, and so where the network can be cut: depths 1 to one less.
  public var mapCount: Int {
    down.reduce(1) { $0 + $1.residuals.count + ($1.resample == nil ? 0 : 1) }
  }

  /// The network's first `depth` feature maps, each `[batch, height, width, channels]`.
  ///
  /// Parameters and preconditions are those of an evaluation, and `depth` is at least 1 and less than ``mapCount``.
  public func shallowMaps(
    _ sample: DenseTensor<Float>, depth: Int, timesteps: [Double], prompts: [Prompt],
    perturbations: [UNetPerturbation?] = []
  ) -> [DenseTensor<Float>] {
    precondition((1..<mapCount).contains(depth))
    let evaluation = UNetEvaluation(self, timesteps: timesteps, prompts: prompts, perturbations: perturbations)
    var maps = evaluation.enter(sample)
    evaluation.descend(&maps, to: depth)
    return maps
  }

  /// The prediction from the first maps, and the deep features that the last layers saw.
  ///
  /// With no `deep` features given this is the prediction of the whole network, bit for bit. With those of an earlier
  /// evaluation, `[batch, height, width, channels]`, the deep part is not run.
  public func finish(
    _ maps: [DenseTensor<Float>], deep: DenseTensor<Float>? = nil, timesteps: [Double], prompts: [Prompt],
    perturbations: [UNetPerturbation?] = []
  ) -> (output: DenseTensor<Float>, deep: DenseTensor<Float>) {
    let evaluation = UNetEvaluation(self, timesteps: timesteps, prompts: prompts, perturbations: perturbations)
    var maps = maps
    let depth = maps.count
    let features: DenseTensor<Float>
    if let deep {
      features = deep
    } else {
      evaluation.descend(&maps, to: evaluation.mapCount)
      features = evaluation.ascend(evaluation.turn(maps[maps.count - 1]), &maps, to: depth)
    }
    return (evaluation.leave(evaluation.ascend(features, &maps, to: 0)), features)
  }
}
