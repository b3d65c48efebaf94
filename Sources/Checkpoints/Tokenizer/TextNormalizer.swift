/// What transformers' CLIP tokenizer does to a text before it is split: NFC, then every run of white space to one
/// space, then lower case, scalar by scalar.
enum TextNormalizer {
  static func normalize(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
    var normal: [Unicode.Scalar] = []
    var isAfterSpace = false
    for scalar in composed(text) {
      let isSpace = scalar.properties.isWhitespace
      if isSpace, isAfterSpace { continue }
      isAfterSpace = isSpace
      if isSpace {
        normal.append(" ")
      } else if scalar.isASCII {
        normal.append(("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
      } else {
        normal.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
      }
    }
    return normal
  }

  /// NFC by the tables of Unicode 9, which are those of the normaliser behind transformers.
  ///
  /// It passes over later characters as if they were unassigned, so that nothing composes with them or moves across
  /// them. What Unicode 9 knew normalises the same in every later version, by Unicode's stability policy.
  private static func composed(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
    let scalars = Array(text)
    let firstChanging: Unicode.Scalar = "\u{300}"
    guard scalars.contains(where: { $0 >= firstChanging }) else { return scalars }
    var result: [Unicode.Scalar] = []
    var known: [Unicode.Scalar] = []
    for scalar in scalars {
      if scalar.isAssigned(by: 9) {
        known.append(scalar)
      } else {
        result += CanonicalComposition.compose(known)
        result.append(scalar)
        known.removeAll(keepingCapacity: true)
      }
    }
    return result + CanonicalComposition.compose(known)
  }
}

extension Unicode.Scalar {
  /// Whether version `major`.0 of Unicode, or one before it, assigned this code point.
  func isAssigned(by major: Int) -> Bool {
    guard let age = properties.age else { return false }
    return age.major < major || age.major == major && age.minor == 0
  }
}
