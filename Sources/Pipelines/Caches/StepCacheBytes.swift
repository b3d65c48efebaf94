import DenseTensors
import Networks
import Tensors

extension StepCache {
  /// The memory of evaluating so many branches of images side by side, and of what is remembered of them: the parts of
  /// the network that take turns have a block of memory each.
  ///
  /// - Parameter shape: of one image's latents.
  func bytes(of branches: Int, shape: Shape, promptLength: Int, in model: UNet2DConditionModel) -> Int {
    guard case .deepFeatures(let depth) = reuse else {
      let plan = model.activationPlan(
        batch: branches, height: shape[0], width: shape[1], promptLength: promptLength)
      return plan.peakBytes + (order + 1) * branches * shape.count * MemoryLayout<Float>.stride
    }
    let sample = DenseTensor<Float>(zeros: Shape([branches] + shape.dimensions))
    let times = Array(repeating: 0.0, count: branches)
    let prompt = model.prepare(DenseTensor(zeros: [promptLength, model.configuration.contextWidth]))
    let prompts = Array(repeating: prompt, count: branches)
    func shallowMaps() -> [DenseTensor<Float>] {
      model.shallowMaps(sample, depth: depth, timesteps: times, prompts: prompts)
    }
    var total = 0
    var given: [DenseTensor<Float>]?
    if case .change = schedule {
      total +=
        ActivationArena.rehearse {
          given = shallowMaps()
          return given!
        }.peakBytes
      total += given![depth - 1].shape.count * MemoryLayout<Float>.stride
    }
    var deep: DenseTensor<Float>?
    for _ in 0..<2 {
      total +=
        ActivationArena.rehearse {
          let result = model.finish(given ?? shallowMaps(), deep: deep, timesteps: times, prompts: prompts)
          deep = result.deep
          return result
        }.peakBytes
    }
    return total + (order + 1) * deep!.shape.count * MemoryLayout<Float>.stride
  }
}
