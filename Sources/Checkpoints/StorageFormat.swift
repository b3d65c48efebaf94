import Quantization
import Tensors

/// How the matrices of a model that was quantized ahead of time are stored. Its files say so in their metadata.
public enum StorageFormat: String, Hashable, Sendable, CaseIterable {
  case float16 = "fp16"
  case bfloat16 = "bf16"
  /// Levels of 8 bits and a step for each output, to compute with inputs of 8 bits.
  case int8
  /// The same levels and steps, to compute in floats.
  case int8Weights = "int8-weights"
  case q8 = "q8_0"
  case q4 = "q4_0"

  /// The metadata's key for the format.
  static let metadataKey = "fewstep.format"
  /// What a tensor's name is followed by in that of its steps.
  static let stepSuffix = ".step"

  public var blockFormat: BlockFormat? {
    switch self {
    case .q8: .q8
    case .q4: .q4
    default: nil
    }
  }
}

/// How the bytes of a tensor become numbers.
enum TensorEncoding: Hashable, Sendable {
  /// One element each, as the data type says.
  case plain
  /// Levels of type I8, and the bytes of a step of type F32 for each index of the outermost dimension.
  case levels(steps: Range<Int>)
  /// Blocks of type U8, over the elements in their order.
  case blocks(BlockFormat)
}

extension SafetensorsHeader {
  /// The format in the metadata; nil in files of other programs.
  func storageFormat() throws(JSONScanner.Failure) -> StorageFormat? {
    guard let name = metadata[StorageFormat.metadataKey] else { return nil }
    guard let format = StorageFormat(rawValue: name) else {
      let known = StorageFormat.allCases.map(\.rawValue).joined(separator: ", ")
      throw JSONScanner.Failure(
        key: StorageFormat.metadataKey, found: quoted(name), expected: "one of \(known)")
    }
    return format
  }

  /// The entries as a reader of quantized files sees them: numbers by their own shape, and no steps.
  func decodedEntries() throws(JSONScanner.Failure) -> [String: SafetensorsEntry] {
    guard let format = try storageFormat() else { return entries }
    var decoded = entries
    for (name, entry) in entries {
      switch (format, entry.dataType) {
      case (.int8, .int8), (.int8Weights, .int8):
        let stepName = name + StorageFormat.stepSuffix
        let outputs = entry.shape.rank == 0 ? 1 : entry.shape[0]
        guard let steps = entries[stepName], steps.dataType == .float32, steps.shape == [outputs] else {
          throw JSONScanner.Failure(
            key: stepName, found: entries[stepName].map { "\($0.dataType.rawValue) \($0.shape)" } ?? "nothing",
            expected: "F32 [\(outputs)], the steps of \(name)")
        }
        decoded[name] = SafetensorsEntry(
          dataType: .int8, shape: entry.shape, range: entry.range, encoding: .levels(steps: steps.range))
        decoded[stepName] = nil
      case (.q8, .uint8), (.q4, .uint8):
        guard let blocks = format.blockFormat else { continue }
        let shape = try numbersShape(name)
        guard let bytes = blocks.byteCount(of: shape.count), bytes == entry.range.count else {
          throw JSONScanner.Failure(
            key: name, found: "\(entry.range.count) bytes",
            expected: "whole blocks of \(blocks.blockBytes) for \(shape.count) numbers of 32 each")
        }
        decoded[name] = SafetensorsEntry(
          dataType: .uint8, shape: shape, range: entry.range, encoding: .blocks(blocks))
      default: break
      }
    }
    return decoded
  }

  /// The shape of the numbers in blocks, which the metadata has under the tensor's name, such as `320,320,3,3`.
  private func numbersShape(_ name: String) throws(JSONScanner.Failure) -> Shape {
    let text = metadata[name]
    let parts = text?.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) } ?? []
    let dimensions = parts.compactMap { $0 }
    guard !parts.isEmpty, dimensions.count == parts.count, let shape = Shape(validating: dimensions) else {
      throw JSONScanner.Failure(
        key: name, found: text.map { quoted($0) } ?? "nothing in the metadata",
        expected: "the dimensions of the numbers in the blocks")
    }
    return shape
  }
}
