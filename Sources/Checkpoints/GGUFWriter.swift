import Foundation
import Quantization
import Tensors

/// Writes GGUF files of version 3: tensors of the types F32, F16, BF16, Q8_0 and Q4_0.
///
/// Layout: github.com/ggml-org/ggml, docs/gguf.md.
public enum GGUFWriter {
  /// The elements of a tensor, row-major.
  public enum Values: Hashable, Sendable {
    case float32([Float])
    /// Bits of halves, of either format.
    case float16([UInt16])
    case bfloat16([UInt16])
    /// Blocks along the innermost dimension, as ``BlockFormat/encode(_:)`` makes them.
    case blocks(BlockFormat, [UInt8])
  }

  /// A tensor to write.
  public struct Tensor: Hashable, Sendable {
    /// At most 64 bytes.
    public var name: String
    /// At most four dimensions, the outermost first.
    public var shape: Shape
    public var values: Values

    public init(name: String, shape: Shape, values: Values) {
      self.name = name
      self.shape = shape
      self.values = values
    }
  }

  /// A value beside the tensors.
  public enum Metadata: Hashable, Sendable {
    case uint32(UInt32)
    case int32(Int32)
    case uint64(UInt64)
    case int64(Int64)
    case float32(Float)
    case float64(Double)
    case string(String)
  }

  /// Writes `tensors`, in this order, and `metadata`, by its keys, to `url`, replacing what is there.
  ///
  /// The file appears whole or not at all: it is written under another name in the same folder, then renamed. Equal
  /// arguments give equal bytes. Every tensor starts at a multiple of 32 bytes. Other programs want
  /// `general.architecture` in the metadata.
  ///
  /// - Throws: ``CheckpointError/Kind/misshapenTensor`` where a tensor's values do not fill its shape,
  ///   ``CheckpointError/Kind/malformedGGUF`` where a name is taken twice or too long, a tensor has too many dimensions
  ///   or rows that do not fill blocks, or a key is reserved, empty or too long;
  ///   ``CheckpointError/Kind/unwritableFile``.
  public static func write(
    _ tensors: [Tensor], metadata: [String: Metadata] = [:], to url: URL
  ) throws(CheckpointError) {
    let header = try header(of: tensors, metadata: metadata, url: url)
    let file = try PartialFile(for: url)
    try file.write(header)
    for tensor in tensors {
      switch tensor.values {
      case .float32(let values): try file.write(values)
      case .float16(let bits), .bfloat16(let bits): try file.write(bits)
      case .blocks(_, let bytes): try file.write(bytes)
      }
      try file.write(padding(after: tensor.values.byteCount))
    }
    try file.commit()
  }

  private static func header(
    of tensors: [Tensor], metadata: [String: Metadata], url: URL
  ) throws(CheckpointError) -> [UInt8] {
    var header = GGUFBytes()
    header.append(GGUFHeader.magic)
    header.append(UInt32(3))
    header.append(UInt64(tensors.count))
    header.append(UInt64(metadata.count))
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      guard key != GGUFHeader.alignmentKey, (1...GGUFHeader.longestKey).contains(key.utf8.count) else {
        throw CheckpointError(
          .malformedGGUF, file: url, key: key, found: "a key that is reserved, empty or too long",
          expected: "1 to \(GGUFHeader.longestKey) bytes")
      }
      header.append(key)
      header.append(value)
    }
    var names: Set<String> = []
    var offset = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw CheckpointError(
          .malformedGGUF, file: url, key: tensor.name, found: "the name twice", expected: "each name once")
      }
      try check(tensor, url: url)
      header.append(tensor.name)
      header.append(UInt32(tensor.shape.rank))
      for dimension in tensor.shape.dimensions.reversed() { header.append(UInt64(dimension)) }
      header.append(tensor.values.type.rawValue)
      header.append(UInt64(offset))
      offset = GGUFHeader.aligned(offset + tensor.values.byteCount, to: GGUFHeader.defaultAlignment)
    }
    return header.bytes + padding(after: header.bytes.count)
  }

  private static func check(_ tensor: Tensor, url: URL) throws(CheckpointError) {
    guard tensor.name.utf8.count <= GGUFHeader.longestName else {
      throw CheckpointError(
        .malformedGGUF, file: url, key: tensor.name, found: "a name of \(tensor.name.utf8.count) bytes",
        expected: "at most \(GGUFHeader.longestName)")
    }
    guard tensor.shape.rank <= GGUFHeader.largestRank else {
      throw CheckpointError(
        .malformedGGUF, file: url, key: tensor.name, found: "\(tensor.shape.rank) dimensions",
        expected: "at most \(GGUFHeader.largestRank)")
    }
    guard let bytes = tensor.values.type.byteCount(of: tensor.shape) else {
      throw CheckpointError(
        .malformedGGUF, file: url, key: tensor.name, found: "shape \(tensor.shape)",
        expected: "rows in whole blocks of \(BlockFormat.blockSize)")
    }
    guard tensor.values.byteCount == bytes else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: tensor.name, found: "\(tensor.values.byteCount) bytes",
        expected: "\(bytes) for shape \(tensor.shape)")
    }
  }

  private static func padding(after count: Int) -> [UInt8] {
    Array(repeating: 0, count: GGUFHeader.aligned(count, to: GGUFHeader.defaultAlignment) - count)
  }
}

extension GGUFWriter.Values {
  fileprivate var type: GGUFType {
    switch self {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .blocks(.q8, _): .q8
    case .blocks(.q4, _): .q4
    }
  }

  fileprivate var byteCount: Int {
    switch self {
    case .float32(let values): 4 * values.count
    case .float16(let bits), .bfloat16(let bits): 2 * bits.count
    case .blocks(_, let bytes): bytes.count
    }
  }
}

/// Numbers and strings one after another, as a GGUF file has them.
private struct GGUFBytes {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ number: some FixedWidthInteger) {
    withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
  }

  mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    bytes += text.utf8
  }

  /// The type's number, and the value.
  mutating func append(_ value: GGUFWriter.Metadata) {
    switch value {
    case .uint32(let number): append(UInt32(4), number)
    case .int32(let number): append(UInt32(5), number)
    case .float32(let number): append(UInt32(6), number.bitPattern)
    case .string(let text):
      append(GGUFHeader.stringType)
      append(text)
    case .uint64(let number): append(UInt32(10), number)
    case .int64(let number): append(UInt32(11), number)
    case .float64(let number): append(UInt32(12), number.bitPattern)
    }
  }

  private mutating func append(_ type: UInt32, _ number: some FixedWidthInteger) {
    append(type)
    append(number)
  }
}
