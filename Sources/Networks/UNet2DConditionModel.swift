import Checkpoints
import DenseTensors
import Tensors

/// The denoiser of Stable Diffusion and its kin: diffusers' `UNet2DConditionModel`.
///
/// Rombach et al. 2022, arXiv:2112.10752. Read from a component folder as Hugging Face ships it.
public struct UNet2DConditionModel: Sendable {
  public let configuration: UNetConfiguration
  package let bytes: NetworkBytes
  /// The memory that the weights take.
  public var weightBytes: Int { bytes.total }
  /// All layers with weights, by their names in the checkpoint; several that run as one are joined by `+`.
  public let layers: [PackedWeights]
  let convIn: PackedWeights
  let timeEmbedding: TimeEmbedding
  let down: [Block]
  let mid: Block?
  let up: [Block]
  let normOut: NormParameters
  let convOut: PackedWeights

  /// Residual blocks, each followed by a transformer where there are any, and a change of resolution at the end.
  struct Block: Sendable {
    var residuals: [ResidualBlock] = []
    var transformers: [SpatialTransformer] = []
    var resample: PackedWeights?
  }

  /// What the model keeps of a prompt: keys and values for each of its transformer blocks, the same at every step.
  public struct Prompt: Sendable {
    let keyValues: [KeyValues]

    /// The number of its tokens.
    public var length: Int { keyValues.first?.length ?? 0 }
    /// The memory that it takes.
    public var byteCount: Int { keyValues.reduce(0) { $0 + $1.byteCount } }
  }

  /// Reads the model's configuration and weights.
  ///
  /// - Throws: `CheckpointError` for an unsupported configuration, or a missing or misshapen tensor.
  public init(
    _ folder: ModelFolder, component: String = "unet", precision: Precision = .float32
  ) throws(CheckpointError) {
    try self.init(folder, component: component, precision: precision, isOutline: false)
  }

  /// - Parameter isOutline: leaves out all weights: to be rehearsed and never computed with.
  package init(
    _ folder: ModelFolder, component: String = "unet", precision: Precision, isOutline: Bool
  ) throws(CheckpointError) {
    let configuration = try UNetConfiguration(folder, component: component)
    let loader = LayerLoader(
      try folder.weights(component: component), precision: precision, pruning: configuration.pruning,
      isOutline: isOutline)
    let channels = configuration.blockChannels
    let last = channels.count - 1
    let style = ResidualBlock.Style(
      groups: configuration.groups, epsilon: configuration.epsilon, activation: configuration.activation,
      timeWidth: configuration.timeWidth, scalesAndShifts: configuration.scalesAndShifts)

    func transformer(_ loader: LayerLoader, level: Int) throws(CheckpointError) -> SpatialTransformer {
      try SpatialTransformer(
        loader, channels: channels[level], heads: configuration.heads[level],
        layers: configuration.transformerLayers[level], contextWidth: configuration.contextWidth,
        groups: configuration.groups, mergesTokens: level == configuration.finestAttention)
    }

    convIn = try loader.precise.convolution(
      "conv_in", from: configuration.inChannels, to: channels[0], kernel: configuration.inKernel)
    timeEmbedding = try TimeEmbedding(
      loader.precise["time_embedding"], width: channels[0], outputs: configuration.timeWidth,
      cosineFirst: configuration.cosineFirst, frequencyShift: configuration.frequencyShift,
      activation: configuration.activation)

    var down: [Block] = []
    for level in 0...last {
      let own = loader["down_blocks", level]
      var block = Block()
      for layer in 0..<configuration.layers[level] {
        let input = layer > 0 ? channels[level] : channels[max(level - 1, 0)]
        block.residuals.append(
          try ResidualBlock(own["resnets", layer], from: input, to: channels[level], style: style))
        if configuration.downHasAttention[level] {
          block.transformers.append(try transformer(own["attentions", layer], level: level))
        }
      }
      if level < last {
        block.resample = try own.convolution("downsamplers.0.conv", from: channels[level], to: channels[level])
      }
      down.append(block)
    }
    self.down = down

    if configuration.mid == .none {
      mid = nil
    } else {
      let own = loader["mid_block"]
      var style = style
      style.divisor = configuration.midDivisor
      var block = Block()
      for layer in 0..<(configuration.mid == .attention ? 2 : 1) {
        block.residuals.append(
          try ResidualBlock(own["resnets", layer], from: channels[last], to: channels[last], style: style))
      }
      if configuration.mid == .attention {
        block.transformers.append(try transformer(own["attentions", 0], level: last))
      }
      mid = block
    }

    var up: [Block] = []
    var previous = channels[last]
    for (index, level) in (0...last).reversed().enumerated() {
      let own = loader["up_blocks", index]
      var block = Block()
      for layer in 0...configuration.layers[level] {
        let skip = layer == configuration.layers[level] ? channels[max(level - 1, 0)] : channels[level]
        let input = (layer == 0 ? previous : channels[level]) + skip
        block.residuals.append(
          try ResidualBlock(own["resnets", layer], from: input, to: channels[level], style: style))
        if configuration.upHasAttention[index] {
          block.transformers.append(try transformer(own["attentions", layer], level: level))
        }
      }
      if level > 0 {
        block.resample = try own.convolution("upsamplers.0.conv", from: channels[level], to: channels[level])
      }
      previous = channels[level]
      up.append(block)
    }
    self.up = up

    normOut = try loader.norm("conv_norm_out", channels[0], epsilon: configuration.epsilon)
    convOut = try loader.precise.convolution(
      "conv_out", from: channels[0], to: configuration.outChannels, kernel: configuration.outKernel)
    self.configuration = configuration
    bytes = loader.bytes
    layers = loader.layers
  }

  private var transformerBlocks: [TransformerBlock] {
    namedBlocks.flatMap(\.block.transformers).flatMap(\.blocks)
  }

  /// All blocks in the order in which they run, by diffusers' names.
  var namedBlocks: [(name: String, block: Block)] {
    down.enumerated().map { ("down_blocks.\($0)", $1) } + (mid.map { [("mid_block", $0)] } ?? [])
      + up.enumerated().map { ("up_blocks.\($0)", $1) }
  }

  /// The names of the layers that can be disturbed, diffusers' own: "mid_block.attentions.0" and the like.
  public var transformerNames: [String] {
    namedBlocks.flatMap { name, block in block.transformers.indices.map { "\(name).attentions.\($0)" } }
  }

  /// A disturbance of layers, by their names or by those of blocks that hold them: "mid_block", "up_blocks.1".
  ///
  /// - Throws: ``UnknownLayerError`` for a name that means no layer.
  public func perturbation(
    _ kind: UNetPerturbation.Kind, layers: [String]
  ) throws(UnknownLayerError) -> UNetPerturbation {
    let known = transformerNames
    var found: Set<String> = []
    for name in layers {
      let own = known.filter { $0 == name || $0.hasPrefix(name + ".") }
      guard !own.isEmpty else { throw UnknownLayerError(name: name, known: known) }
      found.formUnion(own)
    }
    return UNetPerturbation(kind: kind, layers: found)
  }

  /// Projects a prompt's embeddings once for all steps.
  ///
  /// - Parameter embeddings: `[length, contextWidth]`.
  /// - Precondition: the width is the configuration's.
  public func prepare(_ embeddings: DenseTensor<Float>) -> Prompt {
    precondition(embeddings.shape.rank == 2 && embeddings.shape[1] == configuration.contextWidth)
    return Prompt(keyValues: transformerBlocks.map { $0.keyValues(of: embeddings) })
  }

  /// Where the tensors of an evaluation of `batch` images lie, each `[height, width, inChannels]` with a prompt of
  /// `promptLength` tokens of its own, which count.
  public func activationPlan(
    batch: Int, height: Int, width: Int, promptLength: Int, tokenMerging: Double = 0
  ) -> ActivationPlan {
    ActivationArena.rehearse {
      let prompt = prepare(DenseTensor(zeros: [promptLength, configuration.contextWidth]))
      return self(
        DenseTensor(zeros: [batch, height, width, configuration.inChannels]),
        timesteps: Array(repeating: 0, count: batch), prompts: Array(repeating: prompt, count: batch),
        tokenMerging: tokenMerging)
    }
  }

  /// The model's prediction for a batch, each image at its own time and with its own prompt.
  ///
  /// - Parameters:
  ///   - sample: `[batch, height, width, inChannels]`.
  ///   - timesteps: one per image.
  ///   - prompts: one per image.
  ///   - perturbations: one per image, nil for the model as it is; none at all for no image.
  ///   - tokenMerging: the share of the pixels, up to 0.75, that self-attention merges at its finest resolution
  ///     (arXiv:2303.17604). Images are treated one by one.
  ///   - probe: looks at layers, and may change what they give.
  /// - Returns: `[batch, height, width, outChannels]`.
  /// - Precondition: the shapes fit.
  public func callAsFunction(
    _ sample: DenseTensor<Float>, timesteps: [Double], prompts: [Prompt], perturbations: [UNetPerturbation?] = [],
    tokenMerging: Double = 0, probe: UNetProbe? = nil
  ) -> DenseTensor<Float> {
    let batch = timesteps.count
    let parts = probe == nil ? BatchParts.ranges(of: batch, weightBytes: weightBytes) : [0..<batch]
    let shape = Shape(Array(sample.shape.dimensions.dropLast()) + [configuration.outChannels])
    return BatchParts.evaluate(sample, in: parts, to: shape) { sample, part in
      let evaluation = UNetEvaluation(
        self, timesteps: Array(timesteps[part]), prompts: Array(prompts[part]),
        perturbations: perturbations.isEmpty ? [] : Array(perturbations[part]), tokenMerging: tokenMerging,
        probe: probe)
      var maps = evaluation.enter(sample)
      evaluation.descend(&maps, to: evaluation.mapCount)
      return evaluation.leave(evaluation.ascend(evaluation.turn(maps[maps.count - 1]), &maps, to: 0))
    }
  }
}
