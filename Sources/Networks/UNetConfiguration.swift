import Checkpoints
import DenseTensors

/// The configuration of a UNet2DConditionModel, with diffusers' defaults and names.
public struct UNetConfiguration: Sendable {
  public let inChannels: Int
  public let outChannels: Int
  /// The latent's size that the model was trained on, where the file says.
  public let sampleSize: (height: Int, width: Int)?
  /// Channels at each resolution, finest first.
  public let blockChannels: [Int]
  /// The width of the prompt's embeddings.
  public let contextWidth: Int
  /// What has been removed since.
  public private(set) var pruning = UNetPruning()

  let centersInput: Bool
  let cosineFirst: Bool
  let frequencyShift: Double
  let downHasAttention: [Bool]
  let upHasAttention: [Bool]
  let mid: Mid
  let layers: [Int]
  let transformerLayers: [Int]
  let heads: [Int]
  let downsamplePadding: Int
  let activation: Activation
  let groups: Int
  let epsilon: Double
  let midDivisor: Double
  let scalesAndShifts: Bool
  let skipsTimeActivation: Bool
  let timeWidth: Int
  let inKernel: Int
  let outKernel: Int

  enum Mid: Sendable { case none, plain, attention }

  /// Reads the configuration of the component `unet`.
  ///
  /// - Throws: `CheckpointError` naming the key whose value is malformed or not supported.
  public init(_ folder: ModelFolder, component: String = "unet") throws(CheckpointError) {
    let reader = try ConfigurationReader(folder, component: component)
    try Self.checkFeatures(reader)
    inChannels = try reader.count("in_channels", default: 4)
    outChannels = try reader.count("out_channels", default: 4)
    sampleSize = try Self.sampleSize(reader)
    blockChannels = try reader.counts("block_out_channels")
    let blocks = blockChannels.count
    let down = try reader.strings("down_block_types", from: ["CrossAttnDownBlock2D", "DownBlock2D"], length: blocks)
    let up = try reader.strings("up_block_types", from: ["CrossAttnUpBlock2D", "UpBlock2D"], length: blocks)
    downHasAttention = down.map { $0.hasPrefix("CrossAttn") }
    upHasAttention = up.map { $0.hasPrefix("CrossAttn") }
    switch reader.isNull("mid_block_type")
      ? nil : try reader.string("mid_block_type", default: "UNetMidBlock2DCrossAttn")
    {
    case nil: mid = .none
    case "UNetMidBlock2D": mid = .plain
    case "UNetMidBlock2DCrossAttn": mid = .attention
    case .some(let other):
      throw reader.failure(
        "mid_block_type", found: "\"\(other)\"", expected: "UNetMidBlock2DCrossAttn, UNetMidBlock2D or null")
    }
    layers = try reader.counts("layers_per_block", length: blocks, default: 2)
    transformerLayers = try reader.counts("transformer_layers_per_block", length: blocks, default: 1)
    // diffusers' attention_head_dim is the number of heads, unless num_attention_heads is given.
    let headKey = reader.isAbsent("num_attention_heads") ? "attention_head_dim" : "num_attention_heads"
    heads = try reader.counts(headKey, length: blocks, default: 8)
    contextWidth = try reader.count("cross_attention_dim", default: 1280)
    groups = try reader.count("norm_num_groups", default: 32)
    for (index, channels) in blockChannels.enumerated() {
      guard channels % groups == 0 else {
        throw reader.failure(
          "block_out_channels", found: "\(channels)", expected: "multiples of norm_num_groups, \(groups)")
      }
      guard !(downHasAttention[index] || upHasAttention[blocks - 1 - index]) || channels % heads[index] == 0 else {
        throw reader.failure(headKey, found: "\(heads[index])", expected: "a divisor of the \(channels) channels")
      }
    }
    guard mid != .attention || blockChannels[blocks - 1] % heads[blocks - 1] == 0 else {
      throw reader.failure(
        headKey, found: "\(heads[blocks - 1])", expected: "a divisor of \(blockChannels[blocks - 1])")
    }
    centersInput = try reader.flag("center_input_sample", default: false)
    cosineFirst = try reader.flag("flip_sin_to_cos", default: true)
    frequencyShift = try reader.number("freq_shift", default: 0)
    let padding = try reader.integer("downsample_padding", default: 1)
    guard (0...1).contains(padding) else {
      throw reader.failure("downsample_padding", found: "\(padding)", expected: "0 or 1")
    }
    downsamplePadding = padding
    activation = try Self.activation(reader)
    epsilon = try reader.number("norm_eps", default: 1e-5)
    midDivisor = try reader.number("mid_block_scale_factor", default: 1)
    scalesAndShifts = try reader.string("resnet_time_scale_shift", default: "default") == "scale_shift"
    skipsTimeActivation = try reader.flag("resnet_skip_time_act", default: false)
    timeWidth = try reader.count("time_embedding_dim", default: 4 * blockChannels[0])
    inKernel = try Self.oddKernel(reader, "conv_in_kernel")
    outKernel = try Self.oddKernel(reader, "conv_out_kernel")
    let configuration = self
    pruning = try UNetPruning(reader) { () throws(CheckpointError) in try configuration.checkedLayerList(reader) }
  }

  /// The finest level that has attention.
  var finestAttention: Int? {
    blockChannels.indices.first { downHasAttention[$0] || upHasAttention[blockChannels.count - 1 - $0] }
  }

  /// One side, or height and width.
  private static func sampleSize(
    _ reader: ConfigurationReader
  ) throws(CheckpointError) -> (height: Int, width: Int)? {
    guard !reader.isAbsent("sample_size") else { return nil }
    let sides = try reader.counts("sample_size", length: 2)
    return (sides[0], sides[1])
  }

  private static func oddKernel(_ reader: ConfigurationReader, _ key: String) throws(CheckpointError) -> Int {
    let size = try reader.count(key, default: 3)
    guard size % 2 == 1, size <= 7 else { throw reader.failure(key, found: "\(size)", expected: "1, 3, 5 or 7") }
    return size
  }

  static func activation(_ reader: ConfigurationReader) throws(CheckpointError) -> Activation {
    let name = try reader.string("act_fn", default: "silu")
    guard let activation = Activation(name: name) else {
      throw reader.failure("act_fn", found: "\"\(name)\"", expected: "silu, swish, mish, gelu or relu")
    }
    return activation
  }

  /// Refuses what other models have and this one does not.
  private static func checkFeatures(_ reader: ConfigurationReader) throws(CheckpointError) {
    for key in [
      "addition_embed_type", "class_embed_type", "cross_attention_norm", "encoder_hid_dim", "encoder_hid_dim_type",
      "mid_block_only_cross_attention", "num_class_embeds", "reverse_transformer_layers_per_block",
      "time_cond_proj_dim", "time_embedding_act_fn", "timestep_post_act",
    ] {
      try reader.require(key)
    }
    try reader.require("attention_type", in: "default")
    try reader.require("time_embedding_type", in: "positional")
    try reader.require("resnet_time_scale_shift", in: "default", "scale_shift")
    try reader.require("resnet_out_scale_factor", in: 1.0)
    for key in ["class_embeddings_concat", "dual_cross_attention", "only_cross_attention"] {
      try reader.require(key, in: false)
    }
  }
}
