/// A token that is recognised as a whole in a text, before the text is split.
struct AddedToken: Hashable, Sendable {
  var content: String
  /// Matches only where no word character touches it.
  var isSingleWord = false
  /// Takes the white space on its left, or right, with it.
  var stripsLeft = false
  var stripsRight = false
  /// Is looked for in the normalised text, in its own normalised spelling.
  var isNormalized = false

  /// What is looked for.
  var spelling: String {
    guard isNormalized else { return content }
    return TextNormalizer.normalize(content.unicodeScalars).reduce(into: "") { $0.unicodeScalars.append($1) }
  }
}

/// Finds added tokens in a text: at each place the longest, from left to right.
struct AddedTokenMatcher: Sendable {
  /// A stretch of a text: a token, or what lies between tokens.
  enum Part {
    case token(Int)
    case text(ArraySlice<Unicode.Scalar>)
  }

  private struct Pattern: Sendable {
    let scalars: [Unicode.Scalar]
    let token: AddedToken
    let id: Int
  }

  /// The patterns by their first scalar, longest first.
  private let patterns: [Unicode.Scalar: [Pattern]]

  /// - Parameter tokens: the tokens to find, by their ids.
  init(_ tokens: [Int: AddedToken]) {
    let patterns = tokens.map { id, token in
      Pattern(scalars: Array(token.spelling.unicodeScalars), token: token, id: id)
    }
    self.patterns = Dictionary(grouping: patterns.filter { !$0.scalars.isEmpty }) { $0.scalars[0] }
      .mapValues { $0.sorted { ($1.scalars.count, $0.id) < ($0.scalars.count, $1.id) } }
  }

  /// Cuts `text` into tokens and what lies between them.
  func split(_ text: ArraySlice<Unicode.Scalar>) -> [Part] {
    var parts: [Part] = []
    var textStart = text.startIndex
    var position = text.startIndex
    while position < text.endIndex {
      guard let match = patterns[text[position]]?.first(where: { text[position...].starts(with: $0.scalars) }) else {
        position += 1
        continue
      }
      var start = position
      var end = position + match.scalars.count
      position = end
      if match.token.isSingleWord, Self.isWord(text[..<start].last) || Self.isWord(text[end...].first) { continue }
      if match.token.stripsLeft, textStart < start {
        start -= text[textStart..<start].reversed().prefix { $0.properties.isWhitespace }.count
      }
      if match.token.stripsRight {
        end += text[end...].prefix { $0.properties.isWhitespace }.count
      }
      // The token before may have stripped white space that this one begins with.
      if textStart < start { parts.append(.text(text[textStart..<start])) }
      parts.append(.token(match.id))
      textStart = end
    }
    if textStart < text.endIndex { parts.append(.text(text[textStart...])) }
    return parts
  }

  /// `\w` as Unicode Technical Standard 18 defines it, by the tables of Unicode 16 as transformers has it.
  private static func isWord(_ scalar: Unicode.Scalar?) -> Bool {
    guard let scalar, scalar.isAssigned(by: 16) else { return false }
    let properties = scalar.properties
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }
}
