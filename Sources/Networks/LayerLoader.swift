import Checkpoints
import DenseTensors
import Tensors

/// Makes layers of the tensors below a name in a checkpoint, checking every shape.
struct LayerLoader {
  private let weights: WeightStore
  private let prefix: String

  init(_ weights: WeightStore, prefix: String = "") {
    self.weights = weights
    self.prefix = prefix
  }

  /// The layers below `name`.
  subscript(_ name: String) -> LayerLoader {
    LayerLoader(weights, prefix: prefix + name + ".")
  }

  subscript(_ name: String, _ index: Int) -> LayerLoader {
    self["\(name).\(index)"]
  }

  func has(_ name: String) -> Bool { weights.contains(prefix + name) }

  func floats(_ name: String, _ shape: Shape) throws(CheckpointError) -> [Float] {
    try weights.floats(prefix + name, shape: shape)
  }

  func convolution(
    _ name: String, from channels: Int, to outputs: Int, kernel: Int = 3
  ) throws(CheckpointError) -> PackedWeights {
    var packed = PackedWeights(
      try floats("\(name).weight", [outputs, channels, kernel, kernel]), outputs: outputs, channels: channels,
      kernel: (kernel, kernel), bias: try floats("\(name).bias", [outputs]))
    packed.name = prefix + name
    return packed
  }

  func linear(
    _ name: String, from channels: Int, to outputs: Int, bias: Bool = true
  ) throws(CheckpointError) -> PackedWeights {
    try linear([name], from: channels, to: outputs, bias: bias)
  }

  /// Several linear layers of one input as one, their outputs side by side; 1x1 convolutions count as linear.
  func linear(
    _ names: [String], from channels: Int, to outputs: Int, bias: Bool = true
  ) throws(CheckpointError) -> PackedWeights {
    var matrix: [Float] = []
    var biases: [Float] = []
    for name in names {
      let key = "\(name).weight"
      let isConvolution = try weights.entry(prefix + key).shape.rank == 4
      matrix += try floats(key, isConvolution ? [outputs, channels, 1, 1] : [outputs, channels])
      if bias { biases += try floats("\(name).bias", [outputs]) }
    }
    var packed = PackedWeights(matrix, outputs: names.count * outputs, channels: channels, bias: bias ? biases : nil)
    packed.name = prefix + names.joined(separator: "+")
    return packed
  }

  func norm(_ name: String, _ channels: Int, epsilon: Double) throws(CheckpointError) -> NormParameters {
    var norm = NormParameters(
      gain: try floats("\(name).weight", [channels]), shift: try floats("\(name).bias", [channels]),
      epsilon: Float(epsilon))
    norm.name = prefix + name
    return norm
  }
}
