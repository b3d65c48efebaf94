import Foundation

/// Whether `name` is a file's or folder's name and not a path that leads elsewhere.
func isPlainName(_ name: String) -> Bool {
  !["", ".", ".."].contains(name) && !name.utf8.contains { [UInt8(ascii: "/"), UInt8(ascii: "\\"), 0].contains($0) }
}

/// The bytes of a small file.
func contents(of url: URL) throws(CheckpointError) -> [UInt8] {
  let file = try MappedFile(url: url)
  return file.withBytes(in: 0..<file.count) { Array($0) }
}

/// Reads the JSON file at `url`, all of it, with `body`.
func scanJSON(
  _ url: URL, _ body: (inout JSONScanner) throws(JSONScanner.Failure) -> Void
) throws(CheckpointError) {
  var scanner = JSONScanner(try contents(of: url))
  do {
    try body(&scanner)
    try scanner.expectEnd()
  } catch {
    throw CheckpointError(.malformedJSON, file: url, key: error.key, found: error.found, expected: error.expected)
  }
}

/// Decodes the JSON file at `url`. Duplicate keys are refused, and every fault names its key.
func decodeJSON<Value: Decodable>(_ type: Value.Type, from url: URL) throws(CheckpointError) -> Value {
  var tree = JSONTree.null
  try scanJSON(url) { scanner throws(JSONScanner.Failure) in tree = try scanner.tree() }
  do {
    return try JSONTreeDecoder(tree: tree).decode(type)
  } catch let error as DecodingError {
    throw CheckpointError(error, file: url, tree: tree)
  } catch {
    throw CheckpointError(.badConfiguration, file: url, found: "\(error)", expected: "a \(type)")
  }
}

extension CheckpointError {
  /// The fault that a decoder found in `tree`, the contents of `file`, with the key's path and value.
  fileprivate init(_ error: DecodingError, file: URL, tree: JSONTree) {
    let path: [any CodingKey]
    let expected: String
    switch error {
    case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
      (path, expected) = (context.codingPath, Self.name(of: type) ?? "a \(type)")
    case .keyNotFound(let key, let context):
      (path, expected) = (context.codingPath + [key], "a value")
    case .dataCorrupted(let context):
      (path, expected) = (context.codingPath, context.debugDescription)
    @unknown default:
      (path, expected) = ([], "a valid configuration")
    }
    self.init(
      .badConfiguration, file: file,
      key: path.isEmpty ? nil : path.map(\.stringValue).joined(separator: "."),
      found: tree.value(at: path[...])?.description ?? "nothing", expected: expected)
  }

  private static func name(of type: any Any.Type) -> String? {
    switch type {
    case is any BinaryInteger.Type: "an integer"
    case is any BinaryFloatingPoint.Type: "a number"
    case is Bool.Type: "true or false"
    case is String.Type: "a string"
    case is [Any].Type: "an array"
    case is [String: Any].Type: "an object"
    default: nil
    }
  }
}
