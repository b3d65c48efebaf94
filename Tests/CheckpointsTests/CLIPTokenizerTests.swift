import Checkpoints
import Foundation
import Testing

/// Texts and the ids that transformers gives for them: see the script beside the fixtures.
struct TokenizerFixture: Decodable {
  struct Case: Decodable {
    let text: String
    /// The ids without padding.
    let ids: [Int]
    /// What transformers decodes the ids past the limit to, where there are any.
    let discarded: String?
  }

  let maximumLength: Int
  let begin: Int
  let end: Int
  let padding: Int
  let cases: [Case]
}

@Suite struct CLIPTokenizerTests {
  private static func folder(_ name: String) -> URL {
    name == "glyphs" ? Fixture.glyphs.appending(path: "tokenizer") : Fixture.tokenizer(name)
  }

  private static func fixture(_ name: String) throws -> TokenizerFixture {
    try JSONDecoder().decode(TokenizerFixture.self, from: Data(contentsOf: Fixture.tokenizer("\(name).json")))
  }

  @Test(arguments: ["glyphs", "patched", "sparse"])
  func idsAreThoseOfTransformers(name: String) throws {
    let tokenizer = try CLIPTokenizer(folder: Self.folder(name))
    let fixture = try Self.fixture(name)
    #expect(tokenizer.maximumLength == fixture.maximumLength)
    #expect(tokenizer.beginID == fixture.begin)
    #expect(tokenizer.endID == fixture.end)
    #expect(tokenizer.paddingID == fixture.padding)
    #expect(fixture.cases.count > 200)
    for example in fixture.cases {
      let encoding = tokenizer.encode(example.text)
      let padding = Array(repeating: fixture.padding, count: fixture.maximumLength - example.ids.count)
      #expect(encoding.ids == example.ids + padding, "\(example.text.debugDescription)")
      #expect(encoding.count == example.ids.count)
      #expect(encoding.tokens.count == encoding.ids.count)
      #expect(encoding.ids.allSatisfy { $0 < tokenizer.vocabularySize })
      #expect(encoding.discardedText.utf8.elementsEqual((example.discarded ?? "").utf8))
      #expect(encoding.discardedTokens.isEmpty == (example.discarded == nil))
    }
  }

  @Test func tokensAreSpelledAsInTheVocabulary() throws {
    let encoding = try CLIPTokenizer(folder: Self.folder("glyphs")).encode(" A  red\ncircle")
    #expect(encoding.tokens.prefix(4) == ["<|startoftext|>", "a</w>", "red</w>", "c"])
    #expect(encoding.tokens.last == "<|endoftext|>")
    #expect(encoding.discardedTokens.isEmpty && encoding.discardedText.isEmpty)
  }

  @Test func theLimitIsReported() throws {
    let tokenizer = try CLIPTokenizer(folder: Self.folder("glyphs"))
    let fitting = String(repeating: "a ", count: tokenizer.maximumLength - 2)
    let encoding = tokenizer.encode(fitting + "RED white")
    #expect(encoding.count == tokenizer.maximumLength)
    #expect(encoding.ids == tokenizer.encode(fitting).ids)
    #expect(encoding.discardedTokens == ["red</w>", "white</w>"])
    #expect(encoding.discardedText == "red white")
  }

  /// Every scalar is encoded, alone and between letters, and each byte of it counts.
  @Test func everyScalarIsEncoded() throws {
    let tokenizer = try CLIPTokenizer(folder: Self.folder("patched"))
    for value in stride(from: UInt32(0), through: 0x10FFFF, by: 37) {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let encoding = tokenizer.encode("a\(scalar)b")
      #expect((4...12).contains(encoding.count), "\(value)")
    }
  }

  /// Neither long words nor long runs of marks take more than a moment.
  @Test(.timeLimit(.minutes(1)), arguments: ["a", "\u{315}\u{300}", "1", "<|endoftext|", " ", "İ", "각", "\0"])
  func longTexts(unit: String) throws {
    let tokenizer = try CLIPTokenizer(folder: Self.folder("patched"))
    let encoding = tokenizer.encode(String(repeating: unit, count: 100_000))
    #expect(encoding.count == (unit == " " ? 2 : tokenizer.maximumLength))
  }

  @Test func manyThreads() async throws {
    let tokenizer = try CLIPTokenizer(folder: Self.folder("patched"))
    let cases = try Self.fixture("patched").cases.prefix(50)
    await withTaskGroup(of: Bool.self) { group in
      for example in cases {
        group.addTask { tokenizer.encode(example.text).ids.starts(with: example.ids) }
      }
      for await isSame in group { #expect(isSame) }
    }
  }
}
