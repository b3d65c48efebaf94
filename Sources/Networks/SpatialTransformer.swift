import Checkpoints
import DenseTensors
import Tensors

/// A stack of transformer blocks over the pixels of a picture: diffusers' `Transformer2DModel`.
struct SpatialTransformer: Sendable {
  private let groups: Int
  private let norm: NormParameters
  private let projectIn: PackedWeights
  let blocks: [TransformerBlock]
  private let projectOut: PackedWeights

  init(
    _ loader: LayerLoader, channels: Int, heads: Int, layers: Int, contextWidth: Int, groups: Int
  ) throws(CheckpointError) {
    self.groups = groups
    // 1e-6 and the blocks' 1e-5 are fixed in diffusers, whatever the configuration's norm_eps.
    norm = try loader.norm("norm", channels, epsilon: 1e-6)
    projectIn = try loader.linear("proj_in", from: channels, to: channels)
    var blocks: [TransformerBlock] = []
    for index in 0..<layers {
      blocks.append(
        try TransformerBlock(
          loader["transformer_blocks", index], channels: channels, heads: heads, contextWidth: contextWidth))
    }
    self.blocks = blocks
    projectOut = try loader.linear("proj_out", from: channels, to: channels)
  }

  /// - Parameters:
  ///   - input: `[batch, height, width, channels]`.
  ///   - context: per block, the keys and values of each image's prompt.
  ///   - perturbations: per image, or empty for none.
  func callAsFunction(
    _ input: DenseTensor<Float>, context: ArraySlice<[KeyValues]>, perturbations: [UNetPerturbation.Kind?] = []
  ) -> DenseTensor<Float> {
    let pixels: Shape = [input.shape[0], input.shape[1] * input.shape[2], input.shape[3]]
    var hidden = input.groupNormalized(norm, groups: groups).reshaped(pixels).linear(projectIn)
    for (block, context) in zip(blocks, context) {
      hidden = block(
        hidden, context: context, size: (input.shape[1], input.shape[2]), perturbations: perturbations)
    }
    var output = hidden.linear(projectOut, residual: input.reshaped(pixels))
    for (image, kind) in perturbations.enumerated() where kind == .skipped {
      output.replaceImage(image, with: input.reshaped(pixels))
    }
    return output.reshaped(input.shape)
  }
}

/// Self-attention, attention to the prompt, and a gated feed-forward layer: diffusers' `BasicTransformerBlock`.
struct TransformerBlock: Sendable {
  private let channels: Int
  private let heads: Int
  private let norm1: NormParameters
  private let selfProjection: PackedWeights
  private let selfOut: PackedWeights
  private let norm2: NormParameters
  private let query: PackedWeights
  private let contextProjection: PackedWeights
  private let crossOut: PackedWeights
  private let norm3: NormParameters
  private let feedIn: PackedWeights
  private let feedOut: PackedWeights
  private let attention: AttentionPrecision

  init(_ loader: LayerLoader, channels: Int, heads: Int, contextWidth: Int) throws(CheckpointError) {
    self.channels = channels
    self.heads = heads
    attention = loader.attention
    norm1 = try loader.norm("norm1", channels, epsilon: 1e-5)
    selfProjection = try loader["attn1"].linear(["to_q", "to_k", "to_v"], from: channels, to: channels, bias: false)
    selfOut = try loader["attn1"].linear("to_out.0", from: channels, to: channels)
    norm2 = try loader.norm("norm2", channels, epsilon: 1e-5)
    query = try loader["attn2"].linear("to_q", from: channels, to: channels, bias: false)
    contextProjection = try loader["attn2"].linear(["to_k", "to_v"], from: contextWidth, to: channels, bias: false)
    crossOut = try loader["attn2"].linear("to_out.0", from: channels, to: channels)
    norm3 = try loader.norm("norm3", channels, epsilon: 1e-5)
    feedIn = try loader["ff"].linear("net.0.proj", from: channels, to: 8 * channels)
    feedOut = try loader["ff"].linear("net.2", from: 4 * channels, to: channels)
  }

  /// The keys and values of a prompt, `[length, contextWidth]`, which are the same at every step.
  func keyValues(of context: DenseTensor<Float>) -> KeyValues {
    KeyValues(
      context.linear(contextProjection), firstRow: 0, length: context.shape[0], keyColumn: 0, valueColumn: channels)
  }

  /// - Parameters:
  ///   - input: `[batch, pixels, channels]`.
  ///   - size: whose product the pixels are.
  ///   - perturbations: per image, or empty for none.
  func callAsFunction(
    _ input: DenseTensor<Float>, context: [KeyValues], size: (height: Int, width: Int),
    perturbations: [UNetPerturbation.Kind?]
  ) -> DenseTensor<Float> {
    let (batch, length) = (input.shape[0], input.shape[1])
    var projected = input.layerNormalized(norm1).linear(selfProjection)
    for case (let image, .blurredQueries(let sigma)?) in perturbations.enumerated() {
      projected.blurImage(image, columns: channels, size: size, sigma: sigma)
    }
    let own = (0..<batch).map {
      KeyValues(projected, firstRow: $0 * length, length: length, keyColumn: channels, valueColumn: 2 * channels)
    }
    var attended = DenseTensor.attention(
      queries: projected, keyValues: own, width: channels, heads: heads, precision: attention)
    for (image, kind) in perturbations.enumerated() where kind == .identityAttention {
      attended.replaceImage(image, with: projected, column: 2 * channels)
    }
    var hidden = attended.linear(selfOut, residual: input)
    let queries = hidden.layerNormalized(norm2).linear(query)
    hidden = DenseTensor.attention(
      queries: queries, keyValues: context, width: channels, heads: heads, precision: attention
    ).linear(crossOut, residual: hidden)
    return hidden.layerNormalized(norm3).linear(feedIn).gatedGELU().linear(feedOut, residual: hidden)
  }
}
