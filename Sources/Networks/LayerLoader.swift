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
  /// Whether shapes are checked and counted, and no numbers are read.
  let isOutline: Bool

  /// What all layers of a network have taken together.
  private final class Tally {
    var bytes = NetworkBytes()
    var layers: [PackedWeights] = []
  }

  init(
    _ weights: WeightStore, precision: Precision, pruning: UNetPruning = UNetPruning(), isOutline: Bool = false
  ) {
    self.init(
      weights, format: precision.weights, precision: precision, prefix: "", tally: Tally(), pruning: pruning,
      isOutline: isOutline)
  }

  private init(
    _ weights: WeightStore, format: WeightFormat, precision: Precision, prefix: String, tally: Tally,
    pruning: UNetPruning, isOutline: Bool
  ) {
    self.weights = weights
    self.pruning = pruning
    self.format = format
    self.precision = precision
    self.prefix = prefix
    self.tally = tally
    self.isOutline = isOutline
  }

  var attention: AttentionPrecision { precision.attention }

  /// The name of what the layers belong to.
  var path: String { String(prefix.dropLast()) }

  /// Whether that has been pruned away.
  var isRemoved: Bool { pruning.blocks.contains(path) }

  /// How many of an attention's heads are left.
  func remainingHeads(of heads: Int) -> Int { pruning.heads[path] ?? heads }

  /// The memory of all layers made so far.
  var bytes: NetworkBytes { tally.bytes }

  /// All layers with weights made so far.
  var layers: [PackedWeights] { tally.layers }

  /// A model that was quantized to int8 ahead of time has layers that bear no less than they are stored with.
  private func format(of keys: [String]) throws(CheckpointError) -> WeightFormat {
    guard format == .int8, weights.storageFormat == .int8 else { return format }
    var types: Set<TensorDataType> = []
    for key in keys { types.insert(try weights.entry(prefix + key).dataType) }
    return types.contains(.int8) ? .int8 : types == [.float16] ? .float16 : .bfloat16
  }

  /// Layers of one input as one.
  ///
  /// - Parameter shape: of one layer's weights in the file.
  private func packed(
    _ names: [String], shape: (String) throws(CheckpointError) -> Shape, outputs: Int, channels: Int,
    kernel: (height: Int, width: Int) = (1, 1), hasBias: Bool, gated: Bool = false
  ) throws(CheckpointError) -> PackedWeights {
    let keys = names.map { "\($0).weight" }
    let format = try format(of: keys)
    // Before memory is taken for what the configuration says.
    for key in keys { try weights.check(prefix + key, shape: shape(key)) }
    var matrix: [Float] = []
    if names.count > 1, !isOutline { matrix.reserveCapacity(names.count * outputs * channels) }
    var biases: [Float] = []
    for (name, key) in zip(names, keys) {
      let own = try floats(key, shape(key))
      if names.count > 1 { matrix += own } else { matrix = own }
      if hasBias { biases += try floats("\(name).bias", [outputs]) }
    }
    let all = names.count * outputs
    var packed =
      isOutline
      ? PackedWeights(
        outlineOf: all, channels: channels, kernel: kernel, hasBias: hasBias, format: format, gated: gated)
      : PackedWeights(
        matrix, outputs: all, channels: channels, kernel: kernel, bias: hasBias ? biases : nil, format: format,
        gated: gated)
    packed.name = prefix + names.joined(separator: "+")
    let floats = all * channels * kernel.height * kernel.width
    var largest = 0
    for key in keys { largest = max(largest, try weights.entry(prefix + key).byteCount) }
    // Layers that are made of several have the newest of them twice, gated ones all of it.
    tally.bytes.add(
      packed.byteCount, mapped: largest,
      read: (floats + (gated ? floats : names.count > 1 ? floats / names.count : 0)) * MemoryLayout<Float>.stride)
    tally.layers.append(packed)
    return packed
  }

  /// The layers below `name`.
  subscript(_ name: String) -> LayerLoader {
    LayerLoader(
      weights, format: format, precision: precision, prefix: prefix + name + ".", tally: tally, pruning: pruning,
      isOutline: isOutline)
  }

  subscript(_ name: String, _ index: Int) -> LayerLoader {
    self["\(name).\(index)"]
  }

  func has(_ name: String) -> Bool { weights.contains(prefix + name) }

  /// The numbers of a tensor; none in an outline.
  func floats(_ name: String, _ shape: Shape) throws(CheckpointError) -> [Float] {
    guard isOutline else { return try weights.floats(prefix + name, shape: shape) }
    try weights.check(prefix + name, shape: shape)
    return []
  }

  /// The numbers of a table that is kept as it is, which counts; none in an outline.
  func table(_ name: String, _ shape: Shape) throws(CheckpointError) -> [Float] {
    tally.bytes.add(
      shape.count * MemoryLayout<Float>.stride, mapped: try weights.entry(prefix + name).byteCount, read: 0)
    return try floats(name, shape)
  }

  /// The same layers in single precision, or near it: for those that are few and that everything depends on.
  var precise: LayerLoader {
    LayerLoader(
      weights, format: precision.fewWeights, precision: precision, prefix: prefix, tally: tally, pruning: pruning,
      isOutline: isOutline)
  }

  func convolution(
    _ name: String, from channels: Int, to outputs: Int, kernel: Int = 3
  ) throws(CheckpointError) -> PackedWeights {
    try packed(
      [name], shape: { _ in [outputs, channels, kernel, kernel] }, outputs: outputs, channels: channels,
      kernel: (kernel, kernel), hasBias: true)
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
    try packed(
      names,
      shape: { key throws(CheckpointError) in
        let isConvolution = try weights.entry(prefix + key).shape.rank == 4
        return isConvolution ? [outputs, channels, 1, 1] : [outputs, channels]
      }, outputs: outputs, channels: channels, hasBias: bias, gated: gated)
  }

  func norm(_ name: String, _ channels: Int, epsilon: Double) throws(CheckpointError) -> NormParameters {
    // So few that an outline has them too.
    var norm = NormParameters(
      gain: try weights.floats("\(prefix)\(name).weight", shape: [channels]),
      shift: try weights.floats("\(prefix)\(name).bias", shape: [channels]), epsilon: Float(epsilon))
    norm.name = prefix + name
    return norm
  }
}

/// The memory of a network's weights, in bytes.
package struct NetworkBytes: Hashable, Sendable {
  /// Of all that has been read.
  package private(set) var total = 0
  /// The most at once while it is read: what is there, and a layer as numbers beside what it came from or is kept as.
  package private(set) var peak = 0

  package init() {}

  mutating func add(_ bytes: Int, mapped: Int, read: Int) {
    peak = max(peak, total + max(mapped, bytes) + read)
    total += bytes
  }
}
