import Foundation
import Tensors

/// Writes safetensors files.
public enum SafetensorsWriter {
  /// The elements of a tensor, row-major.
  public enum Values: Hashable, Sendable {
    case float32([Float])
    case float64([Double])
    case int64([Int64])
    /// Bits of halves, of either format.
    case float16([UInt16])
    case bfloat16([UInt16])
    case int8([Int8])
    case uint8([UInt8])
  }

  /// A tensor to write.
  public struct Tensor: Hashable, Sendable {
    public var name: String
    public var shape: Shape
    public var values: Values

    public init(name: String, shape: Shape, values: Values) {
      self.name = name
      self.shape = shape
      self.values = values
    }
  }

  /// Writes `tensors` and `metadata` to `url`, replacing what is there.
  ///
  /// The file appears whole or not at all: it is written under another name in the same folder, then renamed. Equal
  /// arguments give equal bytes. Every tensor is aligned to the size of its elements.
  ///
  /// - Throws: ``CheckpointError/Kind/misshapenTensor`` where a tensor's values do not fill its shape,
  ///   ``CheckpointError/Kind/malformedSafetensors`` where a name is taken twice or reserved or the header gets too
  ///   long, ``CheckpointError/Kind/unwritableFile``.
  public static func write(
    _ tensors: [Tensor], metadata: [String: String] = [:], to url: URL
  ) throws(CheckpointError) {
    // Wider elements first keeps them aligned; names break ties.
    let ordered = tensors.sorted {
      ($1.values.dataType.byteCount, $0.name) < ($0.values.dataType.byteCount, $1.name)
    }
    let header = try header(of: ordered, metadata: metadata, url: url)
    let file = try PartialFile(for: url)
    try file.write(header)
    for tensor in ordered {
      switch tensor.values {
      case .float32(let values): try file.write(values)
      case .float64(let values): try file.write(values)
      case .int64(let values): try file.write(values)
      case .float16(let bits), .bfloat16(let bits): try file.write(bits)
      case .int8(let values): try file.write(values)
      case .uint8(let values): try file.write(values)
      }
    }
    try file.commit()
  }

  /// The header's length and the header, padded so that the tensors start at a multiple of 8.
  private static func header(
    of tensors: [Tensor], metadata: [String: String], url: URL
  ) throws(CheckpointError) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(literal($0.key)):\(literal($0.value))" }
      members.append("\(literal(SafetensorsHeader.metadataKey)):{\(pairs.joined(separator: ","))}")
    }
    var names: Set = [SafetensorsHeader.metadataKey]
    var offset = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw CheckpointError(
          .malformedSafetensors, file: url, key: tensor.name, found: "a name taken or reserved",
          expected: "each name once")
      }
      guard tensor.values.count == tensor.shape.count else {
        throw CheckpointError(
          .misshapenTensor, file: url, key: tensor.name, found: "\(tensor.values.count) elements",
          expected: "\(tensor.shape.count) for shape \(tensor.shape)")
      }
      let dataType = tensor.values.dataType
      let end = offset + tensor.values.count * dataType.byteCount
      let shape = tensor.shape.dimensions.map(String.init).joined(separator: ",")
      members.append(
        #"\#(literal(tensor.name)):{"dtype":"\#(dataType.rawValue)","shape":[\#(shape)],"#
          + #""data_offsets":[\#(offset),\#(end)]}"#)
      offset = end
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    json += Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    guard json.count <= SafetensorsHeader.maximumLength else {
      throw CheckpointError(
        .malformedSafetensors, file: url, found: "a header of \(json.count) bytes",
        expected: "at most \(SafetensorsHeader.maximumLength)")
    }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }

  /// `text` as a JSON string.
  static func literal(_ text: String) -> String {
    var literal = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": literal += "\\\(scalar)"
      case "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        literal += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: literal.unicodeScalars.append(scalar)
      }
    }
    return literal + "\""
  }
}

extension SafetensorsWriter.Values {
  fileprivate var dataType: TensorDataType {
    switch self {
    case .float32: .float32
    case .float64: .float64
    case .int64: .int64
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .int8: .int8
    case .uint8: .uint8
    }
  }

  fileprivate var count: Int {
    switch self {
    case .float32(let values): values.count
    case .float64(let values): values.count
    case .int64(let values): values.count
    case .float16(let bits), .bfloat16(let bits): bits.count
    case .int8(let values): values.count
    case .uint8(let values): values.count
    }
  }
}
