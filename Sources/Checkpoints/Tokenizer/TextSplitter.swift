/// Cuts a normalised text into the pieces that byte pair encoding works on, as two expressions of transformers do in
/// turn. CLIP's finds special tokens, contractions, runs of letters, single numbers and runs of anything else but
/// white space:
///
///     <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
///
/// GPT-2's then cuts each piece again. That changes only the special tokens (spelled like them in capitals, say, they
/// get here): their letters and their punctuation part.
enum TextSplitter {
  private static let brackets: [(name: [Unicode.Scalar], parts: [Int])] = ["<|startoftext|>", "<|endoftext|>"]
    .map { (Array($0.unicodeScalars), [2, $0.unicodeScalars.count - 4, 2]) }

  private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map { Array($0.unicodeScalars) }

  static func split(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>] {
    var pieces: [ArraySlice<Unicode.Scalar>] = []
    var rest = text
    func take(_ count: Int) {
      pieces.append(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    while let first = rest.first {
      if first == "<", let bracket = brackets.first(where: { rest.starts(with: $0.name) }) {
        bracket.parts.forEach(take)
      } else if first == "'", let contraction = contractions.first(where: { rest.starts(with: $0) }) {
        take(contraction.count)
      } else {
        switch first.pieceClass {
        case .space: rest = rest.dropFirst()
        case .number: take(1)
        case let common: take(rest.prefix { $0.pieceClass == common }.count)
        }
      }
    }
    return pieces
  }
}

extension Unicode.Scalar {
  fileprivate enum PieceClass {
    case letter, number, space, other
  }

  /// `\p{L}`, `\p{N}`, `\s` or none of them, by the tables of Unicode 16, which are those of the expressions' engine:
  /// later characters count as unassigned.
  fileprivate var pieceClass: PieceClass {
    if isASCII {
      switch self {
      case "a"..."z", "A"..."Z": return .letter
      case "0"..."9": return .number
      case " ", "\t"..."\r": return .space
      default: return .other
      }
    }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return isAssigned(by: 16) ? .letter : .other
    case .decimalNumber, .letterNumber, .otherNumber:
      return isAssigned(by: 16) ? .number : .other
    default:
      return properties.isWhitespace ? .space : .other
    }
  }
}
