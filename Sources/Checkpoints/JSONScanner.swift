/// A strict reader of JSON that stops at the first deviation.
///
/// Foundation's decoder keeps the first of two equal keys and reads `1e3` as an integer. A file format's check must
/// see both, so every JSON file of a model is read with this.
struct JSONScanner {
  /// What stopped the scanner. `key` is the path of object keys to the place, joined by dots.
  struct Failure: Error {
    var key: String?
    var found: String
    var expected: String
  }

  /// How deep arrays and objects may nest: the call stack bounds it, and no file of a model comes near.
  static let maximumDepth = 64

  private let bytes: [UInt8]
  private(set) var position = 0
  private var depth = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// The byte that the next token starts with, or `nil` at the end.
  mutating func peek() -> UInt8? {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    return position < bytes.count ? bytes[position] : nil
  }

  /// Passes over `character` if it comes next.
  mutating func skip(_ character: Character) -> Bool {
    guard let next = peek(), next == character.asciiValue else { return false }
    position += 1
    return true
  }

  mutating func expect(_ character: Character) throws(Failure) {
    guard skip(character) else { throw failure(expected: "`\(character)`") }
  }

  /// Makes sure that nothing but white space follows.
  mutating func expectEnd() throws(Failure) {
    guard peek() == nil else { throw failure(expected: "the end of the file") }
  }

  /// The bytes left, white space included.
  var remainder: ArraySlice<UInt8> { bytes[position...] }

  /// Reads an object. `member` is called after each key's colon and must read the value. A key that comes twice is
  /// refused; keys are compared byte by byte.
  mutating func object(_ member: (inout JSONScanner, String) throws(Failure) -> Void) throws(Failure) {
    try enter()
    try expect("{")
    var keys = Set<[UInt8]>()
    if !skip("}") {
      repeat {
        guard peek() == UInt8(ascii: "\"") else { throw failure(expected: "a key") }
        let key = try string()
        guard keys.insert(Array(key.utf8)).inserted else {
          throw Failure(key: key, found: "the key twice", expected: "each key once")
        }
        try expect(":")
        do {
          try member(&self, key)
        } catch {
          throw Failure(
            key: error.key.map { "\(key).\($0)" } ?? key, found: error.found, expected: error.expected)
        }
      } while skip(",")
      try expect("}")
    }
    depth -= 1
  }

  /// Reads an array. `element` is called before each element and must read it.
  mutating func array(_ element: (inout JSONScanner) throws(Failure) -> Void) throws(Failure) {
    try enter()
    try expect("[")
    if !skip("]") {
      repeat { try element(&self) } while skip(",")
      try expect("]")
    }
    depth -= 1
  }

  /// Reads an integer from 0 to `Int.max`, written with digits alone and without leading zeros.
  mutating func naturalNumber() throws(Failure) -> Int {
    guard let first = peek(), isDigit(first) else { throw failure(expected: "an integer, 0 or greater") }
    let start = position
    position = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    let digits = bytes[start..<position]
    let next = position < bytes.count ? bytes[position] : 0x20
    guard digits.count == 1 || first != UInt8(ascii: "0"), !"+-.eE".utf8.contains(next),
      let number = Int(String(decoding: digits, as: UTF8.self))
    else {
      position = start
      throw failure(expected: "an integer from 0 to \(Int.max), in plain digits")
    }
    return number
  }

  /// Passes over a value of any kind, and returns the bytes it is written with.
  ///
  /// Python's `NaN`, `Infinity` and `-Infinity` are let through: diffusers writes them into scheduler configurations.
  @discardableResult
  mutating func value() throws(Failure) -> ArraySlice<UInt8> {
    let first = peek()
    let start = position
    switch first {
    case UInt8(ascii: "{"): try object { scanner, _ throws(Failure) in try scanner.value() }
    case UInt8(ascii: "["): try array { scanner throws(Failure) in try scanner.value() }
    case UInt8(ascii: "\""): _ = try string()
    default: try numberOrLiteral()
    }
    return bytes[start..<position]
  }

  /// The failure of not finding `expected` at this position.
  mutating func failure(expected: String) -> Failure {
    guard peek() != nil else { return Failure(found: "the end", expected: expected) }
    let excerpt = String(decoding: bytes[position...].prefix(24), as: UTF8.self)
    return Failure(found: "`\(excerpt)` at byte \(position)", expected: expected)
  }

  private mutating func enter() throws(Failure) {
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw Failure(found: "deeper nesting", expected: "at most \(Self.maximumDepth) levels of nesting")
    }
  }

  private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private mutating func numberOrLiteral() throws(Failure) {
    let start = position
    position = bytes[start...].firstIndex { " \t\n\r,]}".utf8.contains($0) } ?? bytes.count
    let word = bytes[start..<position]
    let literals = ["true", "false", "null", "NaN", "Infinity", "-Infinity"]
    guard literals.contains(where: { $0.utf8.elementsEqual(word) }) || isNumber(word) else {
      position = start
      throw failure(expected: "a value")
    }
  }

  private func isNumber(_ word: ArraySlice<UInt8>) -> Bool {
    var rest = word
    func skipDigits() -> Int {
      let digits = rest.prefix(while: isDigit).count
      rest = rest.dropFirst(digits)
      return digits
    }
    func skipAny(of characters: String) -> Bool {
      guard let first = rest.first, characters.utf8.contains(first) else { return false }
      rest = rest.dropFirst()
      return true
    }
    _ = skipAny(of: "-")
    let leadingZero = rest.first == UInt8(ascii: "0")
    let integerDigits = skipDigits()
    guard integerDigits > 0, !leadingZero || integerDigits == 1 else { return false }
    if skipAny(of: "."), skipDigits() == 0 { return false }
    if skipAny(of: "eE") {
      _ = skipAny(of: "+-")
      if skipDigits() == 0 { return false }
    }
    return rest.isEmpty
  }
}

// Strings.
extension JSONScanner {
  /// Reads a string. Escapes are resolved; control characters, invalid UTF-8 and lone surrogates are refused.
  mutating func string() throws(Failure) -> String {
    guard skip("\"") else { throw failure(expected: "a string") }
    var utf8: [UInt8] = []
    while true {
      guard position < bytes.count else { throw failure(expected: "the end of a string") }
      let byte = bytes[position]
      guard byte >= 0x20 else { throw failure(expected: "an escape in place of a control character") }
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: utf8, as: UTF8.self) else {
          throw Failure(found: quoted(String(decoding: utf8, as: UTF8.self)), expected: "valid UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): try utf8.append(contentsOf: String(escape()).utf8)
      default: utf8.append(byte)
      }
    }
  }

  private mutating func escape() throws(Failure) -> Unicode.Scalar {
    guard position < bytes.count else { throw failure(expected: "an escape") }
    let letter = bytes[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try escapedScalar()
    default:
      position -= 1
      throw failure(expected: "one of the escapes of JSON")
    }
  }

  /// The scalar of a `\u` escape, or of two that are the halves of a surrogate pair.
  private mutating func escapedScalar() throws(Failure) -> Unicode.Scalar {
    let unit = try codeUnit()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard UTF16.isLeadSurrogate(unit), bytes[position...].starts(with: #"\u"#.utf8) else {
      throw Failure(found: "half a surrogate pair", expected: "both halves")
    }
    position += 2
    let trail = try codeUnit()
    guard UTF16.isTrailSurrogate(trail) else {
      throw Failure(found: "half a surrogate pair", expected: "both halves")
    }
    return UTF16.decode(UTF16.EncodedScalar([unit, trail]))
  }

  private mutating func codeUnit() throws(Failure) -> UInt16 {
    let digits = bytes[position...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }),
      let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw failure(expected: "four hexadecimal digits") }
    position += 4
    return unit
  }
}
