import Tensors

/// What a GGUF file says before its tensors, checked in full. Nothing is allocated by a number in the file that the
/// file's length does not bear out.
///
/// Layout: github.com/ggml-org/ggml, docs/gguf.md, versions 2 and 3, little-endian.
struct GGUFHeader {
  private(set) var strings: [String: String] = [:]
  private(set) var entries: [String: SafetensorsEntry] = [:]
  /// Where the tensors start in the file.
  private(set) var bufferStart = 0

  /// "GGUF".
  static let magic: UInt32 = 0x4655_4747
  static let alignmentKey = "general.alignment"
  /// Of tensors, in bytes, where the file names no other.
  static let defaultAlignment = 32
  /// In bytes.
  static let longestKey = 65535
  static let longestName = 64
  static let largestRank = 4
  /// The number of the type of strings in the metadata.
  static let stringType: UInt32 = 8
  private static let largestAlignment = 1 << 16

  /// The first multiple of `alignment` from `position` on.
  static func aligned(_ position: Int, to alignment: Int) -> Int {
    position + (alignment - position % alignment) % alignment
  }

  /// - Parameter bytes: the whole file.
  init(_ bytes: UnsafeRawBufferPointer) throws(JSONScanner.Failure) {
    var reader = GGUFReader(bytes)
    guard try reader.integer(UInt32.self) == Self.magic else {
      throw JSONScanner.Failure(found: "another beginning", expected: "GGUF")
    }
    let version = try reader.integer(UInt32.self)
    guard version == 2 || version == 3 else {
      throw JSONScanner.Failure(found: "version \(version)", expected: "2 or 3")
    }
    let tensorCount = try reader.count(smallest: 24, of: "tensors")
    let valueCount = try reader.count(smallest: 13, of: "values")
    var alignment = Self.defaultAlignment
    var keys: Set<String> = []
    for _ in 0..<valueCount {
      let key = try reader.string(limit: Self.longestKey)
      guard keys.insert(key).inserted else {
        throw JSONScanner.Failure(key: key, found: "the key twice", expected: "each key once")
      }
      let type = try reader.integer(UInt32.self)
      switch (key, type) {
      case (Self.alignmentKey, 4):
        let value = Int(try reader.integer(UInt32.self))
        guard value > 0, value & (value - 1) == 0, value <= Self.largestAlignment else {
          throw JSONScanner.Failure(
            key: key, found: "\(value)", expected: "a power of two up to \(Self.largestAlignment)")
        }
        alignment = value
      case (_, Self.stringType): strings[key] = try reader.string(limit: bytes.count)
      default: try reader.skip(type, key: key)
      }
    }
    var infos: [(name: String, info: Info)] = []
    for _ in 0..<tensorCount { infos.append(try Self.info(&reader)) }
    bufferStart = Self.aligned(reader.position, to: alignment)
    guard bufferStart <= bytes.count || infos.isEmpty else {
      throw JSONScanner.Failure(found: "\(bytes.count) bytes", expected: "tensors from byte \(bufferStart)")
    }
    try place(infos, alignment: alignment, bufferSize: max(bytes.count - bufferStart, 0))
  }

  /// A tensor as the file announces it.
  private struct Info {
    let shape: Shape
    let type: GGUFType
    let offset: UInt64
    let bytes: Int
  }

  private static func info(_ reader: inout GGUFReader) throws(JSONScanner.Failure) -> (name: String, info: Info) {
    let name = try reader.string(limit: Self.longestName)
    let rank = try reader.integer(UInt32.self)
    guard rank <= Self.largestRank else {
      throw JSONScanner.Failure(key: name, found: "\(rank) dimensions", expected: "at most \(Self.largestRank)")
    }
    var dimensions: [Int] = []
    for _ in 0..<rank {
      let dimension = try reader.integer(UInt64.self)
      guard let dimension = Int(exactly: dimension) else {
        throw JSONScanner.Failure(key: name, found: "\(dimension) as a dimension", expected: "one of 63 bits")
      }
      dimensions.append(dimension)
    }
    let number = try reader.integer(UInt32.self)
    let offset = try reader.integer(UInt64.self)
    guard let type = GGUFType(rawValue: number) else {
      throw JSONScanner.Failure(
        key: name, found: "type \(number)",
        expected: "one of \(GGUFType.allCases.map { "\($0.rawValue) (\($0))" }.joined(separator: ", "))")
    }
    // The innermost dimension comes first in the file.
    guard let shape = Shape(validating: dimensions.reversed()), let bytes = type.byteCount(of: shape) else {
      throw JSONScanner.Failure(
        key: name, found: "dimensions \(dimensions)", expected: "a size that fits 64 bits, in whole blocks of \(type)")
    }
    return (name, Info(shape: shape, type: type, offset: offset, bytes: bytes))
  }

  /// Makes sure that each tensor starts at the first aligned place after the one before it, and lies in the file.
  private mutating func place(
    _ infos: [(name: String, info: Info)], alignment: Int, bufferSize: Int
  ) throws(JSONScanner.Failure) {
    var end = 0
    for (name, info) in infos.sorted(by: { ($0.info.offset, $0.info.bytes) < ($1.info.offset, $1.info.bytes) }) {
      let begin = Self.aligned(end, to: alignment)
      guard info.offset == UInt64(begin) else {
        throw JSONScanner.Failure(
          key: name, found: "an offset of \(info.offset)", expected: "\(begin), after the tensor before it")
      }
      guard begin <= bufferSize, info.bytes <= bufferSize - begin else {
        throw JSONScanner.Failure(
          key: name, found: "\(max(bufferSize - begin, 0)) bytes left", expected: "\(info.bytes) for \(info.shape)")
      }
      end = begin + info.bytes
      let entry = SafetensorsEntry(
        dataType: info.type.dataType, shape: info.shape, range: begin..<end, encoding: info.type.encoding)
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw JSONScanner.Failure(key: name, found: "the name twice", expected: "each name once")
      }
    }
  }
}

/// Reads numbers and strings one after another, and never beyond the end.
struct GGUFReader {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(
    _ type: Number.Type
  ) throws(JSONScanner.Failure) -> Number {
    let start = try advance(by: UInt64(MemoryLayout<Number>.size))
    return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: type))
  }

  /// A number of things of which each takes `smallest` bytes or more.
  mutating func count(smallest: Int, of things: String) throws(JSONScanner.Failure) -> Int {
    let number = try integer(UInt64.self)
    guard number <= UInt64((bytes.count - position) / smallest) else {
      throw JSONScanner.Failure(
        found: "\(number) \(things)", expected: "no more than the \(bytes.count - position) bytes that follow hold")
    }
    return Int(number)
  }

  mutating func string(limit: Int) throws(JSONScanner.Failure) -> String {
    let length = try integer(UInt64.self)
    guard length <= UInt64(limit) else {
      throw JSONScanner.Failure(found: "a string of \(length) bytes", expected: "at most \(limit)")
    }
    let start = try advance(by: length)
    guard let text = String(validating: bytes[start..<position], as: UTF8.self) else {
      throw JSONScanner.Failure(found: "bytes that are no text", expected: "UTF-8")
    }
    return text
  }

  /// Passes over a value of a type.
  mutating func skip(_ type: UInt32, key: String) throws(JSONScanner.Failure) {
    if let size = Self.size(of: type) {
      _ = try advance(by: size)
    } else if type == GGUFHeader.stringType {
      _ = try string(limit: bytes.count)
    } else if type == 9 {
      let element = try integer(UInt32.self)
      let number = try integer(UInt64.self)
      if let size = Self.size(of: element) {
        let (total, overflow) = number.multipliedReportingOverflow(by: size)
        _ = try advance(by: overflow ? .max : total)
      } else if element == GGUFHeader.stringType {
        // Each takes eight bytes or more, so that the end comes before the count could hurt.
        var rest = number
        while rest > 0 {
          _ = try string(limit: bytes.count)
          rest -= 1
        }
      } else {
        throw JSONScanner.Failure(key: key, found: "an array of type \(element)", expected: "numbers or strings")
      }
    } else {
      throw JSONScanner.Failure(key: key, found: "type \(type)", expected: "0 to 12")
    }
  }

  private static func size(of type: UInt32) -> UInt64? {
    switch type {
    case 0, 1, 7: 1
    case 2, 3: 2
    case 4, 5, 6: 4
    case 10, 11, 12: 8
    default: nil
    }
  }

  private mutating func advance(by count: UInt64) throws(JSONScanner.Failure) -> Int {
    guard count <= UInt64(bytes.count - position) else {
      throw JSONScanner.Failure(
        found: "the end at byte \(bytes.count)", expected: "\(count) bytes more from byte \(position)")
    }
    defer { position += Int(count) }
    return position
  }
}
