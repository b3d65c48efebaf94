import Foundation

/// Normalisation Form C (Unicode Standard Annex 15), from what the platform makes of one scalar or one pair.
///
/// Whole strings it does not get right: Swift 6.3 on Linux leaves a precomposed Hangul syllable and a final consonant
/// apart, does not reorder marks around U+0344, which decomposes to marks but is none, and composes U+10415 as if it
/// were U+0415.
enum CanonicalComposition {
  static func compose(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var decomposed = text.flatMap(decomposition)
    sortMarks(in: &decomposed)

    var composed: [Unicode.Scalar] = []
    var starter: Int?
    var lastClass: UInt8 = 0
    for scalar in decomposed {
      let combiningClass = scalar.properties.canonicalCombiningClass.rawValue
      if let starter, starter == composed.count - 1 || lastClass < combiningClass,
        let composite = composite(of: composed[starter], scalar)
      {
        composed[starter] = composite
        continue
      }
      if combiningClass == 0 { starter = composed.count }
      lastClass = combiningClass
      composed.append(scalar)
    }
    return composed
  }

  private static func decomposition(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    let firstDecomposing: Unicode.Scalar = "\u{C0}"
    guard scalar >= firstDecomposing else { return [scalar] }
    return Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
  }

  /// Puts each run of combining marks in the order of their combining classes; equal ones keep theirs.
  private static func sortMarks(in scalars: inout [Unicode.Scalar]) {
    var start = 0
    while start < scalars.count {
      let run = scalars[start...].prefix { $0.properties.canonicalCombiningClass != .notReordered }
      if run.count > 1 {
        let sorted = run.enumerated().sorted { first, second in
          (first.element.properties.canonicalCombiningClass.rawValue, first.offset)
            < (second.element.properties.canonicalCombiningClass.rawValue, second.offset)
        }
        scalars.replaceSubrange(run.indices, with: sorted.map(\.element))
      }
      start += run.count + 1
    }
  }

  private static func composite(of first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    switch second.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: break
    default: return hangulSyllable(of: first, second)
    }
    let parts = decomposition(first) + [second]
    let composed = parts.reduce(into: "") { $0.unicodeScalars.append($1) }.precomposedStringWithCanonicalMapping
    guard composed.unicodeScalars.count == 1, let composite = composed.unicodeScalars.first,
      decomposition(composite) == parts
    else { return nil }
    return composite
  }

  /// The syllable of a leading consonant and a vowel, or of such a syllable and a final consonant (The Unicode
  /// Standard, section 3.12).
  private static func hangulSyllable(of first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let syllables: UInt32 = 0xAC00
    let (vowels, finals): (UInt32, UInt32) = (21, 28)
    switch (first.value, second.value) {
    case (0x1100...0x1112, 0x1161...0x1175):
      return Unicode.Scalar(syllables + ((first.value - 0x1100) * vowels + second.value - 0x1161) * finals)
    case (syllables...0xD7A3, 0x11A8...0x11C2) where (first.value - syllables) % finals == 0:
      return Unicode.Scalar(first.value + second.value - 0x11A7)
    default:
      return nil
    }
  }
}
