import Checkpoints
import DenseTensors
import Tensors

/// A stack of transformer blocks over the pixels of a picture: diffusers' `Transformer2DModel`.
struct SpatialTransformer: Sendable {
  private let name: String
  private let groups: Int
  /// nil where it has been pruned away.
  private let ends: Ends?
  let blocks: [TransformerBlock]
  /// Whether its self-attention has so many pixels that merging them is of use.
  private let mergesTokens: Bool

  private struct Ends: Sendable {
    let norm: NormParameters
    let projectIn: PackedWeights
    let projectOut: PackedWeights
  }

  init(
    _ loader: LayerLoader, channels: Int, heads: Int, layers: Int, contextWidth: Int, groups: Int,
    mergesTokens: Bool
  ) throws(CheckpointError) {
    name = loader.path
    self.groups = groups
    self.mergesTokens = mergesTokens
    guard !loader.isRemoved else {
      (ends, blocks) = (nil, [])
      return
    }
    // 1e-6 and the blocks' 1e-5 are fixed in diffusers, whatever the configuration's norm_eps.
    ends = Ends(
      norm: try loader.norm("norm", channels, epsilon: 1e-6),
      projectIn: try loader.linear("proj_in", from: channels, to: channels),
      projectOut: try loader.linear("proj_out", from: channels, to: channels))
    var blocks: [TransformerBlock] = []
    for index in 0..<layers {
      blocks.append(
        try TransformerBlock(
          loader["transformer_blocks", index], channels: channels, heads: heads, contextWidth: contextWidth))
    }
    self.blocks = blocks
  }

  /// - Parameters:
  ///   - input: `[batch, height, width, channels]`.
  ///   - context: per block, the keys and values of each image's prompt.
  ///   - perturbations: per image, or empty for none.
  ///   - tokenMerging: the share of the pixels that self-attention merges, where there are many.
  func callAsFunction(
    _ input: DenseTensor<Float>, context: ArraySlice<[KeyValues]>, perturbations: [UNetPerturbation.Kind?] = [],
    tokenMerging: Double = 0, probe: UNetProbe? = nil
  ) -> DenseTensor<Float> {
    guard let ends else { return input }
    let pixels: Shape = [input.shape[0], input.shape[1] * input.shape[2], input.shape[3]]
    var hidden = input.groupNormalized(ends.norm, groups: groups, for: ends.projectIn).reshaped(pixels)
      .linear(ends.projectIn)
    for (block, context) in zip(blocks, context) {
      hidden = block(
        hidden, context: context, size: (input.shape[1], input.shape[2]), perturbations: perturbations,
        tokenMerging: mergesTokens ? tokenMerging : 0, probe: probe)
    }
    var output = hidden.linear(ends.projectOut, residual: input.reshaped(pixels))
    for (image, kind) in perturbations.enumerated() where kind == .skipped {
      output.replaceImage(image, with: input.reshaped(pixels))
    }
    output = output.reshaped(input.shape)
    probe?.finished(name, &output) { input }
    return output
  }
}

/// Self-attention, attention to the prompt, and a gated feed-forward layer: diffusers' `BasicTransformerBlock`.
struct TransformerBlock: Sendable {
  private let name: String
  private let selfHeads: Int
  private let crossHeads: Int
  /// Heads × dimension, which are the channels unless heads have been pruned away.
  private let selfWidth: Int
  private let crossWidth: Int
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
    name = loader.path
    selfHeads = loader["attn1"].remainingHeads(of: heads)
    crossHeads = loader["attn2"].remainingHeads(of: heads)
    selfWidth = selfHeads * (channels / heads)
    crossWidth = crossHeads * (channels / heads)
    attention = loader.attention
    norm1 = try loader.norm("norm1", channels, epsilon: 1e-5)
    selfProjection = try loader["attn1"].linear(["to_q", "to_k", "to_v"], from: channels, to: selfWidth, bias: false)
    selfOut = try loader["attn1"].linear("to_out.0", from: selfWidth, to: channels)
    norm2 = try loader.norm("norm2", channels, epsilon: 1e-5)
    query = try loader["attn2"].linear("to_q", from: channels, to: crossWidth, bias: false)
    contextProjection = try loader["attn2"].linear(["to_k", "to_v"], from: contextWidth, to: crossWidth, bias: false)
    crossOut = try loader["attn2"].linear("to_out.0", from: crossWidth, to: channels)
    norm3 = try loader.norm("norm3", channels, epsilon: 1e-5)
    feedIn = try loader["ff"].linear("net.0.proj", from: channels, to: 8 * channels, gated: true)
    feedOut = try loader["ff"].linear("net.2", from: 4 * channels, to: channels)
  }

  /// The keys and values of a prompt, `[length, contextWidth]`, which are the same at every step.
  func keyValues(of context: DenseTensor<Float>) -> KeyValues {
    KeyValues(
      context.linear(contextProjection), firstRow: 0, length: context.shape[0], keyColumn: 0, valueColumn: crossWidth)
  }

  /// - Parameters:
  ///   - input: `[batch, pixels, channels]`.
  ///   - size: whose product the pixels are.
  ///   - perturbations: per image, or empty for none.
  ///   - tokenMerging: the share of the pixels that self-attention merges.
  func callAsFunction(
    _ input: DenseTensor<Float>, context: [KeyValues], size: (height: Int, width: Int),
    perturbations: [UNetPerturbation.Kind?], tokenMerging: Double = 0, probe: UNetProbe? = nil
  ) -> DenseTensor<Float> {
    var hidden = selfAttended(
      input, size: size, perturbations: perturbations, tokenMerging: tokenMerging, probe: probe)
    let queries = hidden.layerNormalized(norm2, for: query).linear(query)
    var attended = DenseTensor.attention(
      queries: queries, keyValues: context, width: crossWidth, heads: crossHeads, precision: attention)
    probe?.attended("\(name).attn2", &attended)
    hidden = attended.linear(crossOut, residual: hidden)
    let normalized = hidden.layerNormalized(norm3, for: feedIn)
    let inner =
      feedIn.isGated
      ? normalized.gatedLinear(feedIn, for: feedOut) : LayerInput(normalized.linear(feedIn).gatedGELU())
    return inner.linear(feedOut, residual: hidden)
  }

  /// The input and self-attention of it.
  private func selfAttended(
    _ input: DenseTensor<Float>, size: (height: Int, width: Int), perturbations: [UNetPerturbation.Kind?],
    tokenMerging: Double, probe: UNetProbe?
  ) -> DenseTensor<Float> {
    guard TokenMerging.mergedCount(ratio: tokenMerging, size: size) > 0 else {
      return attendedToSelf(
        input.layerNormalized(norm1, for: selfProjection), size: size, perturbations: perturbations, probe: probe
      ).linear(selfOut, residual: input)
    }
    guard perturbations.allSatisfy({ $0 == nil }) else {
      // Images that are disturbed stay whole, and none depends on its neighbours.
      return .stacking(
        perturbations.enumerated().map { image, kind in
          selfAttended(
            .stacking([input[outer: image]]), size: size, perturbations: [kind],
            tokenMerging: kind == nil ? tokenMerging : 0, probe: probe)[outer: 0]
        })
    }
    let merging = TokenMerging(input, size: size, ratio: tokenMerging)
    let attended = attendedToSelf(
      LayerInput(merging.merge(input.layerNormalized(norm1))), size: size, perturbations: [], probe: probe)
    return merging.spread(attended.linear(selfOut), onto: input)
  }

  /// - Parameter normalized: `[batch, tokens, channels]`.
  /// - Returns: `[batch, tokens, heads × dimension]`.
  private func attendedToSelf(
    _ normalized: consuming LayerInput, size: (height: Int, width: Int),
    perturbations: [UNetPerturbation.Kind?], probe: UNetProbe?
  ) -> DenseTensor<Float> {
    let (batch, length) = (normalized.shape[0], normalized.shape[1])
    var projected = (consume normalized).linear(selfProjection)
    for case (let image, .blurredQueries(let sigma)?) in perturbations.enumerated() {
      projected.blurImage(image, columns: selfWidth, size: size, sigma: sigma)
    }
    let own = (0..<batch).map {
      KeyValues(projected, firstRow: $0 * length, length: length, keyColumn: selfWidth, valueColumn: 2 * selfWidth)
    }
    var attended = DenseTensor.attention(
      queries: projected, keyValues: own, width: selfWidth, heads: selfHeads, precision: attention)
    for (image, kind) in perturbations.enumerated() where kind == .identityAttention {
      attended.replaceImage(image, with: projected, column: 2 * selfWidth)
    }
    probe?.attended("\(name).attn1", &attended)
    return attended
  }
}
