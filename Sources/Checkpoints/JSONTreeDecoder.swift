/// Decodes a JSON tree. Foundation's decoder does not say where in a document a number is that does not fit.
///
/// An integer may be spelled with a fraction or an exponent if it is one (`3.0`, `1e3`). `NaN`, `Infinity` and
/// `-Infinity` are floating-point numbers; other spellings must be finite in the type they are read as.
struct JSONTreeDecoder: Decoder {
  let tree: JSONTree
  var codingPath: [any CodingKey] = []

  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .object(let members) = tree else { throw mismatch([String: Any].self) }
    return KeyedDecodingContainer(JSONObjectContainer(members: members, codingPath: codingPath))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .array(let elements) = tree else { throw mismatch([Any].self) }
    return JSONArrayContainer(elements: elements, codingPath: codingPath)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  fileprivate func mismatch(_ type: Any.Type) -> DecodingError {
    .typeMismatch(type, DecodingError.Context(codingPath: codingPath, debugDescription: "found \(tree)"))
  }
}

extension JSONTreeDecoder: SingleValueDecodingContainer {
  func decodeNil() -> Bool {
    if case .null = tree { true } else { false }
  }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    let value: Any? =
      switch (type, tree) {
      case (is Bool.Type, .bool(let bool)): bool
      case (is String.Type, .string(let text)): text
      case (let type as any FixedWidthInteger.Type, .number(let spelling)): Self.integer(type, spelling)
      case (is Double.Type, .number(let spelling)): Self.number(Double.self, spelling)
      case (is Float.Type, .number(let spelling)): Self.number(Float.self, spelling)
      case (is Bool.Type, _), (is String.Type, _), (is any FixedWidthInteger.Type, _), (is Double.Type, _),
        (is Float.Type, _):
        nil
      default: try decodeComposite(type)
      }
    guard let value = value as? Value else { throw mismatch(type) }
    return value
  }

  /// Has `type` decode itself. For an enumeration with raw values, the error lists those.
  private func decodeComposite<Value: Decodable>(_ type: Value.Type) throws -> Value {
    do {
      return try type.init(from: self)
    } catch DecodingError.dataCorrupted(let context) where context.codingPath.count == codingPath.count {
      guard let cases = (type as? any CaseIterable.Type)?.allCases as? [any RawRepresentable] else {
        throw DecodingError.dataCorrupted(context)
      }
      let values = cases.map { ($0.rawValue as? String).map(quoted) ?? "\($0.rawValue)" }
      throw DecodingError.dataCorrupted(
        DecodingError.Context(codingPath: codingPath, debugDescription: "one of \(values.joined(separator: ", "))"))
    }
  }

  private static func integer<Value: FixedWidthInteger>(_ type: Value.Type, _ spelling: String) -> Value? {
    // Past 2^53 a Double may be another integer's rounding.
    Value(spelling) ?? Double(spelling).flatMap { $0.magnitude <= 0x1p53 ? Value(exactly: $0) : nil }
  }

  private static func number<Value: BinaryFloatingPoint & LosslessStringConvertible>(
    _ type: Value.Type, _ spelling: String
  ) -> Value? {
    Value(spelling).flatMap { $0.isFinite || ["NaN", "Infinity", "-Infinity"].contains(spelling) ? $0 : nil }
  }
}

private struct JSONObjectContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let members: [String: JSONTree]
  let codingPath: [any CodingKey]

  var allKeys: [Key] { members.keys.sorted().compactMap(Key.init(stringValue:)) }

  func contains(_ key: Key) -> Bool { members[key.stringValue] != nil }

  func decodeNil(forKey key: Key) throws -> Bool { try decoder(key).decodeNil() }

  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try decoder(key).decode(type) }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try decoder(key).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try decoder(key).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder { JSONTreeDecoder(tree: .object(members), codingPath: codingPath) }

  func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(key) }

  private func decoder(_ key: Key) throws -> JSONTreeDecoder {
    guard let member = members[key.stringValue] else {
      throw DecodingError.keyNotFound(key, DecodingError.Context(codingPath: codingPath, debugDescription: "no key"))
    }
    return JSONTreeDecoder(tree: member, codingPath: codingPath + [key])
  }
}

private struct JSONArrayContainer: UnkeyedDecodingContainer {
  struct Index: CodingKey {
    let intValue: Int?
    var stringValue: String { intValue.map(String.init) ?? "" }

    init(intValue: Int) { self.intValue = intValue }
    init?(stringValue: String) { nil }
  }

  let elements: [JSONTree]
  let codingPath: [any CodingKey]
  var currentIndex = 0

  init(elements: [JSONTree], codingPath: [any CodingKey]) {
    self.elements = elements
    self.codingPath = codingPath
  }

  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex == elements.count }

  mutating func decodeNil() throws -> Bool {
    let isNil = try decoder().decodeNil()
    if isNil { currentIndex += 1 }
    return isNil
  }

  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try advance { try $0.decode(type) } }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    try advance { try $0.container(keyedBy: type) }
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try advance { try $0.unkeyedContainer() }
  }

  mutating func superDecoder() throws -> any Decoder { try advance { $0 } }

  /// Reads the current element and passes over it if that succeeds.
  private mutating func advance<Result>(_ read: (JSONTreeDecoder) throws -> Result) throws -> Result {
    let result = try read(decoder())
    currentIndex += 1
    return result
  }

  private func decoder() throws -> JSONTreeDecoder {
    let path = codingPath + [Index(intValue: currentIndex)]
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        Any.self, DecodingError.Context(codingPath: path, debugDescription: "no element"))
    }
    return JSONTreeDecoder(tree: elements[currentIndex], codingPath: path)
  }
}
