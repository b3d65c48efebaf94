import DenseTensors
import Tensors

/// One evaluation of a UNet on a batch, in parts that can be run by themselves.
///
/// On its way down the network makes feature maps that skip connections carry to the way up, where one layer takes
/// each, the newest first. Every prefix of the maps cuts the network in two: a shallow part near input and output, and
/// a deep one, of which the shallow one sees a single tensor. That is what DeepCache keeps (Ma et al. 2023,
/// arXiv:2312.00858).
struct UNetEvaluation {
  private typealias Block = UNet2DConditionModel.Block

  private let model: UNet2DConditionModel
  private let time: DenseTensor<Float>
  private let prompts: [UNet2DConditionModel.Prompt]
  private let perturbations: [UNetPerturbation?]
  private let isPlain: Bool
  private let tokenMerging: Double
  private let probe: UNetProbe?
  /// Down, middle and up, and where the keys and values of each one's transformers begin.
  private let blocks: [(name: String, block: Block, firstContext: Int)]
  /// What makes map 1, map 2 ...; no layer for a change of resolution.
  private let downSteps: [(block: Int, layer: Int?)]
  /// What takes the last map, the one before ...
  private let upSteps: [(block: Int, layer: Int)]

  init(
    _ model: UNet2DConditionModel, timesteps: [Double], prompts: [UNet2DConditionModel.Prompt],
    perturbations: [UNetPerturbation?], tokenMerging: Double = 0, probe: UNetProbe? = nil
  ) {
    precondition(timesteps.count == prompts.count)
    precondition(perturbations.isEmpty || perturbations.count == prompts.count)
    self.model = model
    self.prompts = prompts
    self.perturbations = perturbations
    self.tokenMerging = tokenMerging
    self.probe = probe
    isPlain = perturbations.allSatisfy { $0 == nil }
    let embedded = model.timeEmbedding(timesteps)
    time =
      model.configuration.skipsTimeActivation ? embedded : embedded.activated(model.configuration.activation)
    var blocks: [(name: String, block: Block, firstContext: Int)] = []
    var context = 0
    for (name, block) in model.namedBlocks {
      blocks.append((name, block, context))
      context += block.transformers.reduce(0) { $0 + $1.blocks.count }
    }
    self.blocks = blocks
    downSteps = model.down.enumerated().flatMap { index, block in
      block.residuals.indices.map { (index, $0) } + (block.resample == nil ? [] : [(index, nil)])
    }
    let firstUp = blocks.count - model.up.count
    upSteps = model.up.enumerated().flatMap { index, block in block.residuals.indices.map { (firstUp + index, $0) } }
  }

  /// All that the network has; the last is the deepest.
  var mapCount: Int { upSteps.count }

  /// The first map, of a sample `[batch, height, width, inChannels]`.
  func enter(_ sample: DenseTensor<Float>) -> [DenseTensor<Float>] {
    precondition(sample.shape.rank == 4 && sample.shape[3] == model.configuration.inChannels)
    precondition(sample.shape[0] == prompts.count)
    let centered = model.configuration.centersInput ? sample.affine(scale: 2, shift: -1) : sample
    return [centered.convolved(with: model.convIn, .init(padding: .init(model.configuration.inKernel / 2)))]
  }

  /// Goes down until there are `count` maps.
  func descend(_ maps: inout [DenseTensor<Float>], to count: Int) {
    while maps.count < count {
      let (index, layer) = downSteps[maps.count - 1]
      let input = maps[maps.count - 1]
      guard layer == nil else {
        maps.append(run(index, layer: layer!, on: input))
        continue
      }
      // Without padding diffusers appends one row and one column of zeros.
      let padding =
        model.configuration.downsamplePadding == 1 ? ConvolutionGeometry.Padding(1) : .init(bottom: 1, right: 1)
      maps.append(input.convolved(with: blocks[index].block.resample!, .init(stride: 2, padding: padding)))
    }
  }

  /// From the last map through the middle of the network.
  func turn(_ deepest: DenseTensor<Float>) -> DenseTensor<Float> {
    guard let mid = model.mid else { return deepest }
    let index = model.down.count
    let hidden = run(index, layer: 0, on: deepest)
    return mid.residuals.count > 1 ? residual(index, layer: 1, on: hidden) : hidden
  }

  /// Goes up until `count` maps are left.
  func ascend(
    _ hidden: consuming DenseTensor<Float>, _ maps: inout [DenseTensor<Float>], to count: Int
  ) -> DenseTensor<Float> {
    // Sides that do not halve evenly all the way down are not doubled on the way up: the map says how large they are.
    let multiple = 1 << (model.down.count - 1)
    let isUneven = maps[0].shape[1] % multiple != 0 || maps[0].shape[2] % multiple != 0
    while maps.count > count {
      let (index, layer) = upSteps[mapCount - maps.count]
      hidden = run(index, layer: layer, on: hidden.concatenatingChannels(maps.removeLast()))
      let block = blocks[index].block
      guard let resample = block.resample, layer == block.residuals.count - 1 else { continue }
      if isUneven, let next = maps.last {
        hidden = hidden.resizedNearest(height: next.shape[1], width: next.shape[2])
          .convolved(with: resample, .init(padding: .init(1)))
      } else {
        hidden = hidden.convolved(with: resample, .init(padding: .init(1), upsampling: 2))
      }
    }
    return hidden
  }

  /// From the last layer to the prediction.
  func leave(_ hidden: DenseTensor<Float>) -> DenseTensor<Float> {
    hidden.normalized(
      model.normOut, groups: model.configuration.groups, activation: model.configuration.activation,
      convolvedWith: model.convOut, .init(padding: .init(model.configuration.outKernel / 2)))
  }

  private func run(_ index: Int, layer: Int, on input: DenseTensor<Float>) -> DenseTensor<Float> {
    let (name, block, firstContext) = blocks[index]
    let hidden = residual(index, layer: layer, on: input)
    guard layer < block.transformers.count else { return hidden }
    let transformer = block.transformers[layer]
    let first = block.transformers[..<layer].reduce(firstContext) { $0 + $1.blocks.count }
    let context = (first..<first + transformer.blocks.count).map { block in prompts.map { $0.keyValues[block] } }
    let kinds =
      isPlain
      ? []
      : perturbations.map { perturbation in
        perturbation.flatMap { $0.layers.contains("\(name).attentions.\(layer)") ? $0.kind : nil }
      }
    return transformer(
      hidden, context: context[...], perturbations: kinds, tokenMerging: tokenMerging, probe: probe)
  }

  private func residual(_ index: Int, layer: Int, on input: DenseTensor<Float>) -> DenseTensor<Float> {
    let (name, block, _) = blocks[index]
    var output = block.residuals[layer](input, time: time)
    probe?.finished("\(name).resnets.\(layer)", &output) { block.residuals[layer].skipped(input) }
    return output
  }
}
