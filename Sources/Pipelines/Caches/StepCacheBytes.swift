import DenseTensors
import Networks
import Tensors

extension StepCache {
  /// The memory of evaluating so many branches of images side by side, and of what is remembered of them: the parts of
  /// the network that take turns have a block of memory each.
  ///
  /// - Parameters:
  ///   - shape: of one image's latents.
  ///   - prompt: of each branch; it may be a rehearsed one, and is not counted.
  ///   - model: which may be an outline, for all of this is rehearsed.
  func bytes(
    of branches: Int, shape: Shape, prompt: UNet2DConditionModel.Prompt, in model: UNet2DConditionModel
  ) -> Int {
    let times = Array(repeating: 0.0, count: branches)
    let prompts = Array(repeating: prompt, count: branches)
    func sample() -> DenseTensor<Float> { DenseTensor(zeros: Shape([branches] + shape.dimensions)) }
    guard case .deepFeatures(let depth) = reuse else {
      let plan = ActivationArena.rehearse { model(sample(), timesteps: times, prompts: prompts) }
      return plan.peakBytes + (order + 1) * branches * shape.count * MemoryLayout<Float>.stride
    }
    func shallowMaps() -> [DenseTensor<Float>] {
      model.shallowMaps(sample(), depth: depth, timesteps: times, prompts: prompts)
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
