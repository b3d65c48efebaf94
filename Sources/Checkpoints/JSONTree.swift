/// A JSON document in memory. Numbers keep their spelling: what they are read as decides whether they fit.
indirect enum JSONTree {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSONTree])
  case object([String: JSONTree])

  /// What `path` leads to, or `nil` if it leads nowhere.
  func value(at path: ArraySlice<any CodingKey>) -> JSONTree? {
    guard let key = path.first else { return self }
    switch self {
    case .array(let elements):
      guard let index = key.intValue, elements.indices.contains(index) else { return nil }
      return elements[index].value(at: path.dropFirst())
    case .object(let members): return members[key.stringValue]?.value(at: path.dropFirst())
    default: return nil
    }
  }
}

extension JSONTree: CustomStringConvertible {
  /// The value as an error shows it: containers are not spelled out.
  var description: String {
    switch self {
    case .null: "null"
    case .bool(let bool): "\(bool)"
    case .number(let spelling): spelling
    case .string(let text): quoted(text)
    case .array(let elements): elements.isEmpty ? "[]" : "an array"
    case .object(let members): members.isEmpty ? "{}" : "an object"
    }
  }
}

extension JSONScanner {
  /// Reads a value of any kind. Of keys that are canonically equivalent the last counts.
  mutating func tree() throws(Failure) -> JSONTree {
    switch peek() {
    case UInt8(ascii: "{"):
      var members: [String: JSONTree] = [:]
      try object { scanner, key throws(Failure) in members[key] = try scanner.tree() }
      return .object(members)
    case UInt8(ascii: "["):
      var elements: [JSONTree] = []
      try array { scanner throws(Failure) in try elements.append(scanner.tree()) }
      return .array(elements)
    case UInt8(ascii: "\""):
      return .string(try string())
    default:
      let word = String(decoding: try value(), as: UTF8.self)
      switch word {
      case "null": return .null
      case "true", "false": return .bool(word == "true")
      default: return .number(word)
      }
    }
  }
}
