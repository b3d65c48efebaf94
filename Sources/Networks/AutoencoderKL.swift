import Checkpoints
import DenseTensors
import Tensors

/// The autoencoder between images and latents: diffusers' `AutoencoderKL`.
///
/// Kingma and Welling 2013, arXiv:1312.6114, as in Rombach et al. 2022, arXiv:2112.10752.
public struct AutoencoderKL: Sendable {
  public let configuration: AutoencoderConfiguration
  package let bytes: NetworkBytes
  /// The memory that the weights take.
  public var weightBytes: Int { bytes.total }
  private let encoder: Encoder
  private let quantization: PackedWeights?
  private let decoder: Decoder
  private let postQuantization: PackedWeights?

  /// Reads the model's configuration and weights.
  ///
  /// - Throws: `CheckpointError` for an unsupported configuration, or a missing or misshapen tensor.
  public init(
    _ folder: ModelFolder, component: String = "vae", precision: Precision = .float32
  ) throws(CheckpointError) {
    try self.init(folder, component: component, precision: precision, isOutline: false)
  }

  /// - Parameter isOutline: leaves out all weights: to be rehearsed and never computed with.
  package init(
    _ folder: ModelFolder, component: String = "vae", precision: Precision, isOutline: Bool
  ) throws(CheckpointError) {
    let configuration = try AutoencoderConfiguration(folder, component: component)
    let loader = LayerLoader(
      try folder.weights(component: component), precision: precision, isOutline: isOutline)
    let moments = 2 * configuration.latentChannels
    encoder = try Encoder(loader["encoder"], configuration)
    decoder = try Decoder(loader["decoder"], configuration)
    quantization =
      configuration.usesQuantization ? try loader.linear("quant_conv", from: moments, to: moments) : nil
    postQuantization =
      configuration.usesPostQuantization
      ? try loader.linear(
        "post_quant_conv", from: configuration.latentChannels, to: configuration.latentChannels) : nil
    self.configuration = configuration
    bytes = loader.bytes
  }

  /// Where the tensors lie that decode one latent of `[height, width, latentChannels]`.
  public func decodingPlan(height: Int, width: Int) -> ActivationPlan {
    ActivationArena.rehearse {
      decode(DenseTensor(zeros: [1, height, width, configuration.latentChannels]))
    }
  }

  /// Where the tensors lie that encode one image of `[height, width, imageChannels]`.
  public func encodingPlan(height: Int, width: Int) -> ActivationPlan {
    ActivationArena.rehearse {
      moments(of: DenseTensor(zeros: [1, height, width, configuration.imageChannels]))
    }
  }

  /// The image of a latent as the denoiser leaves it, scaled.
  ///
  /// - Parameter latents: `[batch, height, width, latentChannels]`.
  /// - Returns: `[batch, height × scale, width × scale, channels]`, in [-1, 1] and a little beyond.
  /// - Precondition: the channels fit.
  public func decode(scaled latents: DenseTensor<Float>) -> DenseTensor<Float> {
    inParts(latents) { decoder(decoderInput($0)) }
  }

  /// The image of a latent in the autoencoder's own scale.
  public func decode(_ latents: DenseTensor<Float>) -> DenseTensor<Float> {
    inParts(latents) { latents in decoder(postQuantization.map { latents.convolved(with: $0) } ?? latents) }
  }

  /// How many latents of many are best decoded at once.
  public var decodingBatch: Int { BatchParts.size(weightBytes: weightBytes) }

  private func inParts(
    _ latents: DenseTensor<Float>, _ decode: (DenseTensor<Float>) -> DenseTensor<Float>
  ) -> DenseTensor<Float> {
    let (batch, scale) = (latents.shape[0], configuration.scale)
    return BatchParts.evaluate(
      latents, in: BatchParts.ranges(of: batch, weightBytes: weightBytes),
      to: [batch, latents.shape[1] * scale, latents.shape[2] * scale, configuration.imageChannels]
    ) { latents, _ in decode(latents) }
  }

  /// As ``decode(scaled:)`` does, noting what the norms after the middle block do.
  func decode(scaled latents: DenseTensor<Float>, noting history: NormHistory) -> DenseTensor<Float> {
    decoder(decoderInput(latents), history: history)
  }

  /// A window of the image, `[1, its rows, its columns, channels]`, with the norms after the middle block as noted.
  func decodeFrozen(
    scaled latents: DenseTensor<Float>, window: PixelWindow, norms: [String: FrozenNorm]
  ) -> DenseTensor<Float> {
    decoder(decoderInput(latents), window: window, history: NormHistory(frozen: norms))
  }

  private func decoderInput(_ scaled: DenseTensor<Float>) -> DenseTensor<Float> {
    let latents = scaled.affine(
      scale: Float(1 / configuration.scalingFactor), shift: Float(configuration.shiftFactor))
    return postQuantization.map { latents.convolved(with: $0) } ?? latents
  }

  /// Mean and log variance of the latent's distribution.
  ///
  /// - Parameter image: `[batch, height, width, channels]` in [-1, 1], the sides multiples of the scale.
  /// - Returns: `[batch, height / scale, width / scale, 2 × latentChannels]` in the autoencoder's own scale.
  /// - Precondition: the channels fit.
  public func moments(of image: DenseTensor<Float>) -> DenseTensor<Float> {
    let hidden = encoder(image)
    return quantization.map { hidden.convolved(with: $0) } ?? hidden
  }
}

/// The configuration of an AutoencoderKL, with diffusers' defaults and names.
public struct AutoencoderConfiguration: Sendable {
  public let imageChannels: Int
  public let latentChannels: Int
  /// What the denoiser's latents are the autoencoder's times: latent × scalingFactor after taking off shiftFactor.
  public let scalingFactor: Double
  public let shiftFactor: Double
  /// Pixels per latent, along one side.
  public let scale: Int

  let blockChannels: [Int]
  let layers: Int
  let hasAttention: Bool
  let usesQuantization: Bool
  let usesPostQuantization: Bool
  let style: ResidualBlock.Style

  /// Reads the configuration of the component `vae`.
  ///
  /// - Throws: `CheckpointError` naming the key whose value is malformed or not supported.
  public init(_ folder: ModelFolder, component: String = "vae") throws(CheckpointError) {
    let reader = try ConfigurationReader(folder, component: component)
    imageChannels = try reader.count("in_channels", default: 3)
    guard try reader.count("out_channels", default: 3) == imageChannels else {
      throw reader.failure("out_channels", found: "another number", expected: "in_channels, \(imageChannels)")
    }
    latentChannels = try reader.count("latent_channels", default: 4)
    blockChannels = try reader.counts("block_out_channels")
    _ = try reader.strings("down_block_types", from: ["DownEncoderBlock2D"], length: blockChannels.count)
    _ = try reader.strings("up_block_types", from: ["UpDecoderBlock2D"], length: blockChannels.count)
    guard blockChannels.count <= 16 else {
      throw reader.failure("block_out_channels", found: "\(blockChannels.count) blocks", expected: "16 or fewer")
    }
    scale = 1 << (blockChannels.count - 1)
    layers = try reader.count("layers_per_block", default: 1)
    hasAttention = try reader.flag("mid_block_add_attention", default: true)
    usesQuantization = try reader.flag("use_quant_conv", default: true)
    usesPostQuantization = try reader.flag("use_post_quant_conv", default: true)
    try reader.require("latents_mean")
    try reader.require("latents_std")
    let groups = try reader.count("norm_num_groups", default: 32)
    guard blockChannels.allSatisfy({ $0 % groups == 0 }) else {
      throw reader.failure(
        "block_out_channels", found: "\(blockChannels)", expected: "multiples of norm_num_groups, \(groups)")
    }
    scalingFactor = try reader.number("scaling_factor", default: 0.18215)
    guard scalingFactor != 0 else { throw reader.failure("scaling_factor", found: "0", expected: "another number") }
    shiftFactor = try reader.number("shift_factor", default: 0)
    style = ResidualBlock.Style(
      groups: groups, epsilon: 1e-6, activation: try UNetConfiguration.activation(reader), timeWidth: nil)
  }
}

private struct Encoder: Sendable {
  private let convIn: PackedWeights
  private let down: [(residuals: [ResidualBlock], downsample: PackedWeights?)]
  private let mid: MidBlock
  private let normOut: NormParameters
  private let convOut: PackedWeights
  private let style: ResidualBlock.Style

  init(_ loader: LayerLoader, _ configuration: AutoencoderConfiguration) throws(CheckpointError) {
    let channels = configuration.blockChannels
    let last = channels.count - 1
    style = configuration.style
    convIn = try loader.precise.convolution("conv_in", from: configuration.imageChannels, to: channels[0])
    var down: [(residuals: [ResidualBlock], downsample: PackedWeights?)] = []
    for level in 0...last {
      let own = loader["down_blocks", level]
      var residuals: [ResidualBlock] = []
      for layer in 0..<configuration.layers {
        let input = layer > 0 ? channels[level] : channels[max(level - 1, 0)]
        residuals.append(try ResidualBlock(own["resnets", layer], from: input, to: channels[level], style: style))
      }
      let downsample =
        level < last
        ? try own.convolution("downsamplers.0.conv", from: channels[level], to: channels[level]) : nil
      down.append((residuals, downsample))
    }
    self.down = down
    mid = try MidBlock(loader["mid_block"], channels: channels[last], configuration)
    normOut = try loader.norm("conv_norm_out", channels[last], epsilon: style.epsilon)
    convOut = try loader.precise.convolution("conv_out", from: channels[last], to: 2 * configuration.latentChannels)
  }

  func callAsFunction(_ image: DenseTensor<Float>) -> DenseTensor<Float> {
    var hidden = image.convolved(with: convIn, .init(padding: .init(1)))
    for (residuals, downsample) in down {
      for residual in residuals { hidden = residual(consume hidden) }
      if let downsample {
        hidden = hidden.convolved(with: downsample, .init(stride: 2, padding: .init(bottom: 1, right: 1)))
      }
    }
    return mid(hidden).normalized(
      normOut, groups: style.groups, activation: style.activation, convolvedWith: convOut, .init(padding: .init(1)))
  }
}

private struct Decoder: Sendable {
  private let convIn: PackedWeights
  private let mid: MidBlock
  private let up: [(residuals: [ResidualBlock], upsample: PackedWeights?)]
  private let normOut: NormParameters
  private let convOut: PackedWeights
  private let style: ResidualBlock.Style

  init(_ loader: LayerLoader, _ configuration: AutoencoderConfiguration) throws(CheckpointError) {
    let channels = Array(configuration.blockChannels.reversed())
    let last = channels.count - 1
    style = configuration.style
    convIn = try loader.precise.convolution("conv_in", from: configuration.latentChannels, to: channels[0])
    mid = try MidBlock(loader["mid_block"], channels: channels[0], configuration)
    var up: [(residuals: [ResidualBlock], upsample: PackedWeights?)] = []
    for level in 0...last {
      let own = loader["up_blocks", level]
      var residuals: [ResidualBlock] = []
      for layer in 0...configuration.layers {
        let input = layer > 0 ? channels[level] : channels[max(level - 1, 0)]
        residuals.append(try ResidualBlock(own["resnets", layer], from: input, to: channels[level], style: style))
      }
      let upsample =
        level < last ? try own.convolution("upsamplers.0.conv", from: channels[level], to: channels[level]) : nil
      up.append((residuals, upsample))
    }
    self.up = up
    normOut = try loader.norm("conv_norm_out", channels[last], epsilon: style.epsilon)
    convOut = try loader.precise.convolution("conv_out", from: channels[last], to: configuration.imageChannels)
  }

  func callAsFunction(_ latents: DenseTensor<Float>, history: NormHistory? = nil) -> DenseTensor<Float> {
    var hidden = mid(latents.convolved(with: convIn, .init(padding: .init(1))))
    for (residuals, upsample) in up {
      for residual in residuals { hidden = residual(consume hidden, history: history) }
      if let upsample { hidden = hidden.convolved(with: upsample, .init(padding: .init(1), upsampling: 2)) }
    }
    return leave(hidden, history: history)
  }

  private func leave(_ hidden: consuming DenseTensor<Float>, history: NormHistory?) -> DenseTensor<Float> {
    hidden.normalized(
      normOut, groups: style.groups, activation: style.activation, history: history, convolvedWith: convOut,
      .init(padding: .init(1)))
  }

  /// The pixels of a window, with frozen norms: at every resolution, what they see of it and no more.
  func callAsFunction(
    _ latents: DenseTensor<Float>, window: PixelWindow, history: NormHistory
  ) -> DenseTensor<Float> {
    var hidden = mid(latents.convolved(with: convIn, .init(padding: .init(1))))
    let steps = windows(of: window, height: latents.shape[1], width: latents.shape[2])
    // What `hidden` holds.
    var held = PixelWindow(rows: 0..<latents.shape[1], columns: 0..<latents.shape[2])
    for (step, (residuals, upsample)) in zip(steps, up) {
      hidden = hidden.cropped(to: step.input.within(held))
      for residual in residuals { hidden = residual(consume hidden, history: history) }
      hidden = hidden.cropped(to: step.output.within(step.input))
      held = step.output
      if let upsample {
        hidden = hidden.convolved(with: upsample, .init(padding: .init(1), upsampling: 2))
        held = step.output.scaled(by: 2)
      }
    }
    return leave(hidden, history: history).cropped(to: window.within(held))
  }

  /// What the residual blocks of each resolution must be given for a window of the image, and what is right of what
  /// they make: a convolution spoils one pixel at every side that is none of the picture's. All begin at multiples of
  /// 4, the tiles of Winograd's algorithm.
  private func windows(
    of window: PixelWindow, height: Int, width: Int
  ) -> [(input: PixelWindow, output: PixelWindow)] {
    var result: [(input: PixelWindow, output: PixelWindow)] = []
    var wanted = window
    for level in up.indices.reversed() {
      let bounds = PixelWindow(rows: 0..<height << level, columns: 0..<width << level)
      let isLast = level == up.count - 1
      // Of the last convolution, or of the one that follows the doubling.
      var output = wanted.expanded(by: 1, aligned: 4, in: isLast ? bounds : bounds.scaled(by: 2))
      if !isLast { output = output.halved.expanded(by: 0, aligned: 4, in: bounds) }
      wanted = output.expanded(by: 2 * up[level].residuals.count, aligned: 4, in: bounds)
      result.insert((wanted, output), at: 0)
    }
    return result
  }
}

/// Two residual blocks, with attention over all pixels between them where the configuration has it.
private struct MidBlock: Sendable {
  private let first: ResidualBlock
  private let attention: PixelAttention?
  private let second: ResidualBlock

  init(_ loader: LayerLoader, channels: Int, _ configuration: AutoencoderConfiguration) throws(CheckpointError) {
    first = try ResidualBlock(loader["resnets", 0], from: channels, to: channels, style: configuration.style)
    attention =
      configuration.hasAttention
      ? try PixelAttention(loader["attentions", 0], channels: channels, style: configuration.style) : nil
    second = try ResidualBlock(loader["resnets", 1], from: channels, to: channels, style: configuration.style)
  }

  func callAsFunction(_ input: DenseTensor<Float>) -> DenseTensor<Float> {
    let hidden = first(input)
    return second(attention.map { $0(hidden) } ?? hidden)
  }
}

/// Self-attention with one head over the pixels of a picture, around a skip connection.
private struct PixelAttention: Sendable {
  private let groups: Int
  private let norm: NormParameters
  private let projection: PackedWeights
  private let out: PackedWeights
  private let precision: AttentionPrecision

  init(_ loader: LayerLoader, channels: Int, style: ResidualBlock.Style) throws(CheckpointError) {
    groups = style.groups
    precision = loader.attention
    norm = try loader.norm("group_norm", channels, epsilon: style.epsilon)
    // The first releases of diffusers, and Stable Diffusion 1's files, have other names.
    let isOld = loader.has("query.weight")
    projection = try loader.linear(
      isOld ? ["query", "key", "value"] : ["to_q", "to_k", "to_v"], from: channels, to: channels)
    out = try loader.linear(isOld ? "proj_attn" : "to_out.0", from: channels, to: channels)
  }

  func callAsFunction(_ input: DenseTensor<Float>) -> DenseTensor<Float> {
    let (batch, length, channels) = (input.shape[0], input.shape[1] * input.shape[2], input.shape[3])
    let pixels = input.reshaped([batch, length, channels])
    let projected = pixels.groupNormalized(norm, groups: groups, for: projection).linear(projection)
    let own = (0..<batch).map {
      KeyValues(projected, firstRow: $0 * length, length: length, keyColumn: channels, valueColumn: 2 * channels)
    }
    return DenseTensor.attention(
      queries: projected, keyValues: own, width: channels, heads: 1, precision: precision
    ).linear(out, residual: pixels).reshaped(input.shape)
  }
}
