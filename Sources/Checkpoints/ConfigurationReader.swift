import Foundation

/// The values of a component's JSON configuration, read key by key, with errors that name the key.
package struct ConfigurationReader {
  private let values: [String: JSONValue]
  private let url: URL

  package init(_ folder: ModelFolder, component: String, file: String = "config.json") throws(CheckpointError) {
    values = try folder.configuration([String: JSONValue].self, component: component, file: file)
    url = try folder.configurationURL(component: component, file: file)
  }

  package func failure(_ key: String, found: String, expected: String) -> CheckpointError {
    CheckpointError(.badConfiguration, file: url, key: key, found: found, expected: expected)
  }

  /// The value of `key`, nil where it is absent or null.
  private func value(_ key: String) -> JSONValue? {
    values[key].flatMap { $0 == .null ? nil : $0 }
  }

  private func failure(_ key: String, expected: String) -> CheckpointError {
    failure(key, found: values[key].map(\.description) ?? "nothing", expected: expected)
  }

  /// Whether `key` is there and null, which can mean something else than its absence.
  package func isNull(_ key: String) -> Bool { values[key] == .null }

  /// Whether `key` has no value.
  package func isAbsent(_ key: String) -> Bool { value(key) == nil }

  /// A positive integer.
  package func count(_ key: String, default standard: Int? = nil) throws(CheckpointError) -> Int {
    guard let value = value(key) else {
      guard let standard else { throw failure(key, expected: "a positive integer") }
      return standard
    }
    guard let count = value.integer, (1...1 << 24).contains(count) else {
      throw failure(key, expected: "a positive integer")
    }
    return count
  }

  package func integer(_ key: String, default standard: Int) throws(CheckpointError) -> Int {
    guard let value = value(key) else { return standard }
    guard let integer = value.integer else { throw failure(key, expected: "an integer") }
    return integer
  }

  package func number(_ key: String, default standard: Double) throws(CheckpointError) -> Double {
    guard let value = value(key) else { return standard }
    guard case .number(let number) = value, number.isFinite else { throw failure(key, expected: "a number") }
    return number
  }

  package func flag(_ key: String, default standard: Bool) throws(CheckpointError) -> Bool {
    guard let value = value(key) else { return standard }
    guard case .bool(let flag) = value else { throw failure(key, expected: "true or false") }
    return flag
  }

  package func string(_ key: String, default standard: String? = nil) throws(CheckpointError) -> String {
    guard let value = value(key) ?? standard.map(JSONValue.string) else { throw failure(key, expected: "a string") }
    guard case .string(let string) = value else { throw failure(key, expected: "a string") }
    return string
  }

  /// A list of numbers.
  package func numbers(_ key: String) throws(CheckpointError) -> [Double] {
    guard case .array(let elements) = value(key) else { throw failure(key, expected: "a list of numbers") }
    var numbers: [Double] = []
    for element in elements {
      guard case .number(let number) = element, number.isFinite else {
        throw failure(key, expected: "a list of numbers")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// A list of positive integers, or one that stands for a list of `length`.
  package func counts(_ key: String, length: Int? = nil, default standard: Int? = nil) throws(CheckpointError) -> [Int]
  {
    if case .array(let elements) = value(key) {
      let counts = elements.compactMap(\.integer)
      guard counts.count == elements.count, !counts.isEmpty, counts.allSatisfy({ (1...1 << 24).contains($0) }),
        length.map({ $0 == counts.count }) ?? true
      else { throw failure(key, expected: "\(length.map { "\($0) " } ?? "")positive integers") }
      return counts
    }
    guard let length else { throw failure(key, expected: "a list of positive integers") }
    return Array(repeating: try count(key, default: standard), count: length)
  }

  package func strings(_ key: String, from allowed: [String], length: Int) throws(CheckpointError) -> [String] {
    let expected = "\(length) of \(allowed.joined(separator: ", "))"
    guard case .array(let elements) = value(key), elements.count == length else {
      throw failure(key, expected: expected)
    }
    var strings: [String] = []
    for element in elements {
      guard case .string(let string) = element, allowed.contains(string) else { throw failure(key, expected: expected) }
      strings.append(string)
    }
    return strings
  }

  /// The members of an object, nil where there is none.
  package func object(_ key: String) throws(CheckpointError) -> [String: JSONValue]? {
    guard let value = value(key) else { return nil }
    guard case .object(let members) = value else { throw failure(key, expected: "an object") }
    return members
  }

  /// Refuses values of features that are not here: `key` must be absent, null or one of `allowed`.
  package func require(_ key: String, in allowed: JSONValue...) throws(CheckpointError) {
    guard let value = value(key), !allowed.contains(value) else { return }
    throw failure(key, expected: (["null"] + allowed.map(\.description)).joined(separator: " or "))
  }
}

/// A value of any JSON type.
package enum JSONValue: Hashable, Sendable, Decodable, CustomStringConvertible, ExpressibleByBooleanLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral
{
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(stringLiteral value: String) { self = .string(value) }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  package var integer: Int? {
    guard case .number(let number) = self else { return nil }
    return Int(exactly: number)
  }

  package var description: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): integer.map(String.init) ?? "\(value)"
    case .string(let value): "\"\(value)\""
    case .array(let values): "[\(values.map(\.description).joined(separator: ", "))]"
    case .object: "an object"
    }
  }
}
