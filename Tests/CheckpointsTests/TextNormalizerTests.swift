import Foundation
import Testing

@testable import Checkpoints

@Suite struct TextNormalizerTests {
  private func normalize(_ text: String) -> [Unicode.Scalar] { TextNormalizer.normalize(text.unicodeScalars) }
  private func scalars(_ text: String) -> [Unicode.Scalar] { Array(text.unicodeScalars) }

  @Test(arguments: [
    ("", ""), (" ", " "), ("\t\r\n\u{85}\u{A0}\u{2003}\u{2028}\u{3000}", " "), ("a \n b", "a b"),
    ("\u{200B}\u{FEFF}", "\u{200B}\u{FEFF}"), ("ABC", "abc"), ("İ", "i\u{307}"), ("ΟΔΟΣ ς", "οδοσ ς"), ("ẞß", "ßß"),
    ("ǅ", "ǆ"), ("K", "k"), ("\u{212B}", "å"), ("e\u{301}", "\u{E9}"), ("E\u{301}", "\u{E9}"),
  ])
  func texts(text: String, normal: String) {
    #expect(normalize(text) == scalars(normal))
  }

  /// Strings that Swift's own normalisation gets wrong, and the conformance cases behind them.
  @Test(arguments: [
    ("\u{AC00}\u{11A8}", "\u{AC01}"), ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"),
    ("\u{AC00}\u{11A7}", "\u{AC00}\u{11A7}"),
    ("\u{AC01}\u{11A8}", "\u{AC01}\u{11A8}"), ("\u{1100}\u{1176}", "\u{1100}\u{1176}"),
    ("\u{D788}\u{11C2}", "\u{D7A3}"),
    ("\u{1D16E}\u{F73}", "\u{F71}\u{F72}\u{1D16E}"), ("\u{10415}\u{344}", "\u{1043D}\u{308}\u{301}"),
    ("\u{344}", "\u{308}\u{301}"), ("\u{CCA}\u{CD5}", "\u{CCB}"), ("\u{CC6}\u{CC2}\u{CD5}", "\u{CCB}"),
    ("a\u{307}\u{323}", "\u{1EA1}\u{307}"), ("\u{E4}\u{323}", "\u{1EA1}\u{308}"), ("\u{958}", "\u{915}\u{93C}"),
    ("\u{2ADC}", "\u{2ADD}\u{338}"), ("\u{1D15E}", "\u{1D157}\u{1D165}"), ("\u{11131}\u{11127}", "\u{1112E}"),
    ("o\u{300}\u{31B}\u{323}", "\u{1EE3}\u{300}"), ("\u{301}a", "\u{301}a"), ("a\u{34F}\u{301}", "a\u{34F}\u{301}"),
  ])
  func composition(text: String, normal: String) {
    #expect(normalize(text) == scalars(normal))
  }

  /// Pairs that compose, and marks that have a class, only since a version of Unicode after 9.
  @Test(arguments: ["\u{11935}\u{11930}", "\u{105D2}\u{307}", "a\u{8D3}\u{1DFA}\u{323}", "\u{16D67}\u{16D67}"])
  func laterCharactersAreLeftAlone(text: String) {
    #expect(normalize(text) == scalars(text))
  }

  /// Composition and decomposition agree on every character, however many marks it takes.
  @Test func everyCharacterComposesFromItsDecomposition() {
    for value in UInt32(0xC0)...0x1FFFF {
      guard let scalar = Unicode.Scalar(value), scalar.isAssigned(by: 9) else { continue }
      let parts = Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
      guard parts.count > 1 else { continue }
      #expect(CanonicalComposition.compose(parts) == CanonicalComposition.compose([scalar]), "\(value)")
    }
  }

  @Test(arguments: [
    ("hello, world 12", ["hello", ",", "world", "1", "2"]),
    ("it's they'll 's'd", ["it", "'s", "they", "'ll", "'s", "'d"]),
    ("!'s", ["!'", "s"]), ("a1b", ["a", "1", "b"]), ("½Ⅷ²", ["½", "Ⅷ", "²"]), ("e\u{301}x", ["e", "\u{301}", "x"]),
    ("<|startoftext|>!", ["<|", "startoftext", "|>", "!"]), ("a<|endoftext|>!", ["a", "<|", "endoftext", "|>", "!"]),
    ("!<|endoftext|>!", ["!<|", "endoftext", "|>!"]), ("\u{10940}a", ["\u{10940}", "a"]), ("", []), (" ", []),
  ])
  func pieces(text: String, pieces: [String]) {
    #expect(TextSplitter.split(scalars(text)[...]).map(Array.init) == pieces.map(scalars))
  }
}
