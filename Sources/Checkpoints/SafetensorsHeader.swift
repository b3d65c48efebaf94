import Tensors

/// Where a tensor lies in a safetensors file, and what it holds.
public struct SafetensorsEntry: Hashable, Sendable {
  public let dataType: TensorDataType
  public let shape: Shape

  /// The tensor's bytes, counted from the end of the header.
  let range: Range<Int>

  /// How many bytes the file has for it.
  package var byteCount: Int { range.count }

  /// How they become numbers.
  var encoding = TensorEncoding.plain
}

/// The JSON header of a safetensors file, checked in full.
///
/// Rules: the format description and `Metadata::validate` of github.com/huggingface/safetensors.
struct SafetensorsHeader {
  /// The longest header that readers of the format accept, in bytes.
  static let maximumLength = 100_000_000

  static let metadataKey = "__metadata__"

  private(set) var metadata: [String: String] = [:]
  private(set) var entries: [String: SafetensorsEntry] = [:]

  /// Reads `bytes`, the header of a file that has `bufferSize` bytes after it.
  init(_ bytes: [UInt8], bufferSize: Int) throws(JSONScanner.Failure) {
    guard bytes.first == UInt8(ascii: "{") else {
      throw JSONScanner.Failure(found: "another first byte", expected: "a header that starts with `{`")
    }
    var scanner = JSONScanner(bytes)
    try scanner.object { scanner, name throws(JSONScanner.Failure) in
      if name == Self.metadataKey {
        try scanner.object { scanner, key throws(JSONScanner.Failure) in metadata[key] = try scanner.string() }
      } else {
        let entry = try Self.entry(&scanner)
        // String compares canonically, the scanner by bytes: é spelled in two ways is one name here.
        guard entries.updateValue(entry, forKey: name) == nil else {
          throw JSONScanner.Failure(found: "the name twice", expected: "each name once")
        }
      }
    }
    guard scanner.remainder.allSatisfy({ $0 == UInt8(ascii: " ") }) else {
      throw scanner.failure(expected: "only spaces after the header's object")
    }
    try checkTiling(bufferSize: bufferSize)
  }

  private static func entry(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> SafetensorsEntry {
    var dataType: TensorDataType?
    var dimensions: [Int]?
    var offsets: [Int]?
    try scanner.object { scanner, field throws(JSONScanner.Failure) in
      switch field {
      case "dtype": dataType = try self.dataType(&scanner)
      case "shape": dimensions = try naturalNumbers(&scanner)
      case "data_offsets": offsets = try naturalNumbers(&scanner)
      default: throw JSONScanner.Failure(found: "an unknown field", expected: "dtype, shape and data_offsets alone")
      }
    }
    guard let dataType, let dimensions, let offsets else {
      throw JSONScanner.Failure(found: "a field too few", expected: "dtype, shape and data_offsets")
    }
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw JSONScanner.Failure(found: "data_offsets \(offsets)", expected: "a begin and an end not before it")
    }
    guard let shape = Shape(validating: dimensions) else {
      throw JSONScanner.Failure(found: "shape \(dimensions)", expected: "a number of elements that fits 64 bits")
    }
    let (size, overflow) = shape.count.multipliedReportingOverflow(by: dataType.byteCount)
    guard !overflow, size == offsets[1] - offsets[0] else {
      throw JSONScanner.Failure(
        found: "\(offsets[1] - offsets[0]) bytes",
        expected: "\(overflow ? "more than 64 bits can count" : "\(size)") for \(dataType.rawValue) \(shape)")
    }
    return SafetensorsEntry(dataType: dataType, shape: shape, range: offsets[0]..<offsets[1])
  }

  private static func dataType(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> TensorDataType {
    let name = try scanner.string()
    guard let dataType = TensorDataType(rawValue: name) else {
      let known = TensorDataType.allCases.map(\.rawValue).joined(separator: ", ")
      throw JSONScanner.Failure(found: quoted(name), expected: "one of \(known)")
    }
    return dataType
  }

  private static func naturalNumbers(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> [Int] {
    var numbers: [Int] = []
    try scanner.array { scanner throws(JSONScanner.Failure) in try numbers.append(scanner.naturalNumber()) }
    return numbers
  }

  /// Makes sure that the tensors fill the buffer without a hole and without sharing a byte.
  private func checkTiling(bufferSize: Int) throws(JSONScanner.Failure) {
    let ordered = entries.sorted {
      ($0.value.range.lowerBound, $0.value.range.upperBound) < ($1.value.range.lowerBound, $1.value.range.upperBound)
    }
    var end = 0
    for (name, entry) in ordered {
      guard entry.range.lowerBound == end else {
        throw JSONScanner.Failure(
          key: name, found: "a begin at \(entry.range.lowerBound)",
          expected: "\(end), where the tensor before it ends")
      }
      end = entry.range.upperBound
    }
    guard end == bufferSize else {
      throw JSONScanner.Failure(
        found: "\(bufferSize) bytes after the header", expected: "\(end), where the last tensor ends")
    }
  }
}
