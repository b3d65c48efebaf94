import Checkpoints
import DenseTensors
import Foundation
import Networks
import Quantization
import Tensors

/// Writes the parts of a quantized model's folder.
struct QuantizedFolderWriter {
  let folder: ModelFolder
  let format: StorageFormat
  let observer: RangeObserver

  /// The text encoder and the decoder, as halves.
  func writeSurroundings(to target: URL) throws {
    let around: StorageFormat = format == .bfloat16 ? .bfloat16 : .float16
    for component in ["text_encoder", "vae"] {
      let store = try folder.weights(component: component)
      let tensors = try store.names.map { name in
        try stored(name, of: store, as: try store.entry(name).shape.rank > 1 ? around : nil)
      }
      try write(tensors, format: around, component: component, to: target)
    }
  }

  /// - Parameters:
  ///   - bulk: layers to quantize.
  ///   - kept: the names of those among them to store as bf16.
  func writeDenoiser(bulk: [PackedWeights], kept: Set<String>, to target: URL) throws {
    var formats: [String: StorageFormat] = [:]
    for layer in bulk {
      for name in Self.tensorNames(of: layer) { formats[name] = kept.contains(layer.name) ? .bfloat16 : format }
    }
    let store = try folder.weights(component: "unet")
    let tensors = try store.names.map { name in
      try stored(name, of: store, as: formats[name] ?? (try store.entry(name).shape.rank > 1 ? .float16 : nil))
    }
    try write(tensors, format: format, component: "unet", to: target)
  }

  private func write(_ tensors: [StoredTensor], format: StorageFormat, component: String, to target: URL) throws {
    let name = component == "text_encoder" ? "model" : "diffusion_pytorch_model"
    try StoredTensor.write(
      tensors, format: format, to: target.appending(path: "\(component)/\(name).safetensors"))
  }

  /// A tensor in a format or, where that cannot hold it, in the nearest that can: bf16 for what is too large or does
  /// not fill blocks, halves for vectors that lose nothing, and single precision.
  private func stored(
    _ name: String, of store: WeightStore, as format: StorageFormat?
  ) throws(CheckpointError) -> StoredTensor {
    let shape = try store.entry(name).shape
    let values = try store.floats(name)
    let isHalf = values.allSatisfy { $0.magnitude <= 65504 }
    let isExactHalf = values.allSatisfy { HalfFloat.binary16.value(of: HalfFloat.binary16.bits(of: $0)) == $0 }
    let wanted: [StorageFormat?] =
      format == nil
      ? [isExactHalf ? .float16 : nil] : [format == .float16 && !isHalf ? .bfloat16 : format, .bfloat16]
    for format in wanted {
      if let tensor = StoredTensor(name: name, shape: shape, values: values, format: format, observer: observer) {
        return tensor
      }
    }
    throw CheckpointError(
      .wrongDataType, file: store.folder, key: name, found: "numbers that no format holds", expected: "finite numbers")
  }

  /// The tensors of a layer's weights; those of layers that run as one lie in one module.
  static func tensorNames(of layer: PackedWeights) -> [String] {
    let parts = layer.name.split(separator: "+").map(String.init)
    let module = parts[0].lastIndex(of: ".").map { String(parts[0][...$0]) } ?? ""
    return parts.enumerated().map { ($0 == 0 ? $1 : module + $1) + ".weight" }
  }

  func storedType(of layer: PackedWeights, in store: WeightStore) throws(CheckpointError) -> String {
    let type = try store.entry(Self.tensorNames(of: layer)[0]).dataType
    switch type {
    case .float32: return "fp32"
    case .float16: return "fp16"
    case .bfloat16: return "bf16"
    default: return format.rawValue
    }
  }

  /// The signal-to-noise ratio of stored weights to the original ones, in decibels.
  func weightRatio(of layer: PackedWeights, in store: WeightStore) throws(CheckpointError) -> Double {
    let original = try folder.weights(component: "unet")
    var (signal, noise) = (0.0, 0.0)
    for name in Self.tensorNames(of: layer) {
      for (x, y) in zip(try original.floats(name), try store.floats(name)) {
        signal += Double(x) * Double(x)
        noise += Double(x - y) * Double(x - y)
      }
    }
    return decibels(signal: signal, noise: noise)
  }

  /// The bytes of the weight files of components.
  func weightBytes(
    of folder: ModelFolder, components: [String] = ["unet", "vae", "text_encoder"]
  ) throws -> Int {
    try components.reduce(0) { sum, component in
      let url = try folder.componentURL(component)
      return try sum
        + FileManager.default.contentsOfDirectory(atPath: url.path).filter { $0.hasSuffix(".safetensors") }
        .reduce(0) { sum, name in
          // A link has a size of its own.
          let file = url.appending(path: name).resolvingSymlinksInPath()
          let size = try file.resourceValues(forKeys: [.fileSizeKey]).fileSize
          return sum + (size ?? 0)
        }
    }
  }
}
