import Checkpoints
import DenseTensors
import Tensors

/// Makes layers of the tensors below a name in a checkpoint, checking every shape.
struct LayerLoader {
  private let weights: WeightStore
  private let prefix: String
  private let precision: Precision
  private let format: WeightFormat
  private let tally: Tally
  private let pruning: UNetPruning

  /// What all layers of a network have taken together.
  private final class Tally {
    var bytes = 0
    var layers: [PackedWeights] = []
  }

  init(_ weights: WeightStore, precision: Precision, pruning: UNetPruning = UNetPruning()) {
    self.init(
      weights, format: precision.weights, precision: precision, prefix: "", tally: Tally(), pruning: pruning)
  }

  private init(
    _ weights: WeightStore, format: WeightFormat, precision: Precision, prefix: String, tally: Tally,
    pruning: UNetPruning
  ) {
    self.weights = weights
    self.pruning = pruning
    self.format = format
    self.precision = precision
    self.prefix = prefix
    self.tally = tally
  }

  var attention: AttentionPrecision { precision.attention }

  /// The name of what the layers belong to.
  var path: String { String(prefix.dropLast()) }

  /// Whether that has been pruned away.
  var isRemoved: Bool { pruning.blocks.contains(path) }

  /// How many of an attention's heads are left.
  func remainingHeads(of heads: Int) -> Int { pruning.heads[path] ?? heads }

  /// The memory of all layers made so far.
  var byteCount: Int { tally.bytes }

  /// All layers with weights made so far.
  var layers: [PackedWeights] { tally.layers }

  /// A model that was quantized to int8 ahead of time has layers that bear no less than they are stored with.
  private func format(of keys: [String]) throws(CheckpointError) -> WeightFormat {
    guard format == .int8, weights.storageFormat == .int8 else { return format }
    var types: Set<TensorDataType> = []
    for key in keys { types.insert(try weights.entry(prefix + key).dataType) }
    return types.contains(.int8) ? .int8 : types == [.float16] ? .float16 : .bfloat16
  }

  private func packed(
    _ name: String, format: WeightFormat, _ weights: [Float], outputs: Int, channels: Int,
    kernel: (height: Int, width: Int) = (1, 1), bias: [Float]?, gated: Bool = false
  ) -> PackedWeights {
    var packed = PackedWeights(
      weights, outputs: outputs, channels: channels, kernel: kernel, bias: bias, format: format, gated: gated)
    packed.name = prefix + name
    tally.bytes += packed.byteCount
    tally.layers.append(packed)
    return packed
  }

  /// The layers below `name`.
  subscript(_ name: String) -> LayerLoader {
    LayerLoader(
      weights, format: format, precision: precision, prefix: prefix + name + ".", tally: tally, pruning: pruning)
  }

  subscript(_ name: String, _ index: Int) -> LayerLoader {
    self["\(name).\(index)"]
  }

  func has(_ name: String) -> Bool { weights.contains(prefix + name) }

  func floats(_ name: String, _ shape: Shape) throws(CheckpointError) -> [Float] {
    try weights.floats(prefix + name, shape: shape)
  }

  /// The same layers in single precision, or near it: for those that are few and that everything depends on.
  var precise: LayerLoader {
    LayerLoader(
      weights, format: precision.fewWeights, precision: precision, prefix: prefix, tally: tally, pruning: pruning)
  }

  func convolution(
    _ name: String, from channels: Int, to outputs: Int, kernel: Int = 3
  ) throws(CheckpointError) -> PackedWeights {
    packed(
      name, format: try format(of: ["\(name).weight"]),
      try floats("\(name).weight", [outputs, channels, kernel, kernel]), outputs: outputs, channels: channels,
      kernel: (kernel, kernel), bias: try floats("\(name).bias", [outputs]))
  }

  /// - Parameter gated: makes the second half of the outputs gates of the first, where the kernels can.
  func linear(
    _ name: String, from channels: Int, to outputs: Int, bias: Bool = true, gated: Bool = false
  ) throws(CheckpointError) -> PackedWeights {
    try linear([name], from: channels, to: outputs, bias: bias, gated: gated && PackedWeights.canGate(outputs))
  }

  /// Several linear layers of one input as one, their outputs side by side; 1x1 convolutions count as linear.
  func linear(
    _ names: [String], from channels: Int, to outputs: Int, bias: Bool = true, gated: Bool = false
  ) throws(CheckpointError) -> PackedWeights {
    var matrix: [Float] = []
    var biases: [Float] = []
    for name in names {
      let key = "\(name).weight"
      let isConvolution = try weights.entry(prefix + key).shape.rank == 4
      matrix += try floats(key, isConvolution ? [outputs, channels, 1, 1] : [outputs, channels])
      if bias { biases += try floats("\(name).bias", [outputs]) }
    }
    return packed(
      names.joined(separator: "+"), format: try format(of: names.map { "\($0).weight" }), matrix,
      outputs: names.count * outputs, channels: channels,
      bias: bias ? biases : nil, gated: gated)
  }

  func norm(_ name: String, _ channels: Int, epsilon: Double) throws(CheckpointError) -> NormParameters {
    var norm = NormParameters(
      gain: try floats("\(name).weight", [channels]), shift: try floats("\(name).bias", [channels]),
      epsilon: Float(epsilon))
    norm.name = prefix + name
    return norm
  }
}
