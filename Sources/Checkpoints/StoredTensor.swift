import Foundation
import Quantization
import Tensors

/// A tensor in a storage format: what ``SafetensorsWriter`` writes for it, and what metadata its reader needs.
public struct StoredTensor: Sendable {
  public let tensors: [SafetensorsWriter.Tensor]
  public let metadata: [String: String]

  /// - Parameters:
  ///   - values: as many as the shape counts.
  ///   - format: nil leaves single precision.
  ///   - observer: what finds the steps of 8-bit levels.
  /// - Returns: nil where the values do not fill the blocks of the format, or are not finite in levels or blocks.
  public init?(
    name: String, shape: Shape, values: [Float], format: StorageFormat?, observer: RangeObserver = .absmax
  ) {
    func single(_ values: SafetensorsWriter.Values) -> [SafetensorsWriter.Tensor] {
      [.init(name: name, shape: shape, values: values)]
    }
    var metadata: [String: String] = [:]
    switch format {
    case nil: tensors = single(.float32(values))
    case .float16: tensors = single(.float16(values.map(HalfFloat.binary16.bits)))
    case .bfloat16: tensors = single(.bfloat16(values.map(HalfFloat.bfloat16.bits)))
    case .int8, .int8Weights:
      guard shape.rank > 0, shape.count > 0, values.allSatisfy(\.isFinite) else { return nil }
      let quantized = QuantizedTensor(
        DoubleTensor(values.map(Double.init), shape: shape), QuantizationScheme(observer: observer))
      tensors =
        single(.int8(quantized.levels.map { Int8($0) })) + [
          .init(
            name: name + StorageFormat.stepSuffix, shape: [shape[0]],
            values: .float32(quantized.scales.map { Float($0.step) }))
        ]
    case .q8, .q4:
      guard let blocks = format?.blockFormat, shape.rank > 0, shape.count > 0,
        let count = blocks.byteCount(of: shape.count),
        values.allSatisfy(\.isFinite), shape.count / shape[0] % BlockFormat.blockSize == 0
      else { return nil }
      metadata[name] = shape.dimensions.map(String.init).joined(separator: ",")
      tensors = [.init(name: name, shape: [count], values: .uint8(blocks.encode(values)))]
    }
    self.metadata = metadata
  }

  /// Writes tensors with the metadata that makes them readable.
  ///
  /// - Throws: ``CheckpointError`` as ``SafetensorsWriter/write(_:metadata:to:)`` does.
  public static func write(
    _ tensors: [StoredTensor], format: StorageFormat, to url: URL
  ) throws(CheckpointError) {
    var metadata = [StorageFormat.metadataKey: format.rawValue]
    for tensor in tensors { metadata.merge(tensor.metadata) { first, _ in first } }
    try SafetensorsWriter.write(tensors.flatMap(\.tensors), metadata: metadata, to: url)
  }
}
