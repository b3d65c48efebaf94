import Checkpoints
import DenseTensors
import Tensors

/// The text encoder of Stable Diffusion: transformers' `CLIPTextModel`.
///
/// Radford et al. 2021, arXiv:2103.00020.
public struct CLIPTextModel: Sendable {
  /// Rows of the token table, width of an embedding, and the most tokens that a prompt may have.
  public let vocabularySize: Int
  public let width: Int
  public let maximumLength: Int
  package let bytes: NetworkBytes
  /// The memory that the weights take.
  public var weightBytes: Int { bytes.total }

  private let tokens: [Float]
  private let positions: [Float]
  private let layers: [Layer]
  private let finalNorm: NormParameters

  /// Reads the model's configuration and weights.
  ///
  /// - Throws: `CheckpointError` for an unsupported configuration, or a missing or misshapen tensor.
  public init(
    _ folder: ModelFolder, component: String = "text_encoder", precision: Precision = .float32
  ) throws(CheckpointError) {
    try self.init(folder, component: component, precision: precision, isOutline: false)
  }

  /// - Parameter isOutline: leaves out all weights: to be rehearsed and never computed with.
  package init(
    _ folder: ModelFolder, component: String = "text_encoder", precision: Precision, isOutline: Bool
  ) throws(CheckpointError) {
    let reader = try ConfigurationReader(folder, component: component)
    try reader.require("model_type", in: "clip_text_model")
    vocabularySize = try reader.count("vocab_size", default: 49408)
    width = try reader.count("hidden_size", default: 512)
    maximumLength = try reader.count("max_position_embeddings", default: 77)
    let heads = try reader.count("num_attention_heads", default: 8)
    guard width % heads == 0 else {
      throw reader.failure("num_attention_heads", found: "\(heads)", expected: "a divisor of hidden_size, \(width)")
    }
    let name = try reader.string("hidden_act", default: "quick_gelu")
    guard let activation = Activation(name: name) else {
      throw reader.failure("hidden_act", found: "\"\(name)\"", expected: "quick_gelu or gelu")
    }
    let inner = try reader.count("intermediate_size", default: 2048)
    let epsilon = try reader.number("layer_norm_eps", default: 1e-5)
    // transformers 5 leaves out the prefix that earlier files have.
    let whole = LayerLoader(
      try folder.weights(component: component), precision: precision, isOutline: isOutline)
    let loader = whole.has("final_layer_norm.weight") ? whole : whole["text_model"]
    tokens = try loader.table("embeddings.token_embedding.weight", [vocabularySize, width])
    positions = try loader.table("embeddings.position_embedding.weight", [maximumLength, width])
    var layers: [Layer] = []
    for index in 0..<(try reader.count("num_hidden_layers", default: 12)) {
      layers.append(
        try Layer(
          loader["encoder.layers", index], width: width, inner: inner, heads: heads, epsilon: epsilon,
          activation: activation))
    }
    self.layers = layers
    finalNorm = try loader.norm("final_layer_norm", width, epsilon: epsilon)
    bytes = loader.bytes
  }

  /// The last hidden states, after the final norm.
  ///
  /// - Parameter ids: token ids of prompts of one length, at most ``maximumLength``.
  /// - Returns: `[prompts, length, width]`.
  /// - Precondition: every id lies in the vocabulary.
  public func callAsFunction(_ ids: [[Int]]) -> DenseTensor<Float> {
    let length = ids.first?.count ?? 0
    precondition(ids.allSatisfy { $0.count == length } && length <= maximumLength)
    var embedded: [Float] = []
    embedded.reserveCapacity(ids.count * length * width)
    for prompt in ids {
      for (position, id) in prompt.enumerated() {
        precondition(id >= 0 && id < vocabularySize, "token \(id) of \(vocabularySize)")
        embedded += zip(
          tokens[id * width..<(id + 1) * width], positions[position * width..<(position + 1) * width]
        ).map(+)
      }
    }
    return encoded(DenseTensor(embedded, shape: [ids.count, length, width]))
  }

  /// Where the tensors lie that encode `count` prompts of the greatest length.
  public func activationPlan(prompts count: Int) -> ActivationPlan {
    ActivationArena.rehearse { encoded(DenseTensor(zeros: [count, maximumLength, width])) }
  }

  private func encoded(_ embedded: DenseTensor<Float>) -> DenseTensor<Float> {
    var hidden = embedded
    for layer in layers { hidden = layer(hidden) }
    return hidden.layerNormalized(finalNorm)
  }

  /// Causal self-attention and a feed-forward layer.
  private struct Layer: Sendable {
    let heads: Int
    let activation: Activation
    let norm1: NormParameters
    let projection: PackedWeights
    let out: PackedWeights
    let norm2: NormParameters
    let feedIn: PackedWeights
    let feedOut: PackedWeights

    init(
      _ loader: LayerLoader, width: Int, inner: Int, heads: Int, epsilon: Double, activation: Activation
    ) throws(CheckpointError) {
      self.heads = heads
      self.activation = activation
      norm1 = try loader.norm("layer_norm1", width, epsilon: epsilon)
      projection = try loader["self_attn"].linear(["q_proj", "k_proj", "v_proj"], from: width, to: width)
      out = try loader["self_attn"].linear("out_proj", from: width, to: width)
      norm2 = try loader.norm("layer_norm2", width, epsilon: epsilon)
      feedIn = try loader["mlp"].linear("fc1", from: width, to: inner)
      feedOut = try loader["mlp"].linear("fc2", from: inner, to: width)
    }

    func callAsFunction(_ input: DenseTensor<Float>) -> DenseTensor<Float> {
      let (batch, length, width) = (input.shape[0], input.shape[1], input.shape[2])
      let projected = input.layerNormalized(norm1, for: projection).linear(projection)
      let own = (0..<batch).map {
        KeyValues(projected, firstRow: $0 * length, length: length, keyColumn: width, valueColumn: 2 * width)
      }
      let hidden = DenseTensor.attention(
        queries: projected, keyValues: own, width: width, heads: heads, mask: .causal
      ).linear(out, residual: input)
      return hidden.layerNormalized(norm2, for: feedIn).linear(feedIn).activated(activation)
        .linear(feedOut, residual: hidden)
    }
  }
}
