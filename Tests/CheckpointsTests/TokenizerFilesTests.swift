import Checkpoints
import Foundation
import Testing

/// Tokenizer folders that are sound in unusual ways, and folders that are not sound.
@Suite struct TokenizerFilesTests {
  private let folder: TemporaryFolder

  /// A vocabulary of a few tokens; what it lacks becomes the unknown token, `<|endoftext|>`, 5.
  private static let files = [
    "vocab.json": #"{"a":0,"b":1,"a</w>":2,"b</w>":3,"<|startoftext|>":4,"<|endoftext|>":5,"ab</w>":6}"#,
    "merges.txt": "#version: 0.2\na b</w>\n",
    "tokenizer_config.json": #"{"model_max_length":6}"#,
  ]

  init() throws { folder = try TemporaryFolder() }

  /// The tokenizer of ``files`` with some of them replaced, or left out where nil.
  private func tokenizer(_ changes: [String: String?] = [:]) throws -> CLIPTokenizer {
    for (name, text) in Self.files.merging(changes.compactMapValues { $0 }, uniquingKeysWith: { $1 })
    where changes[name] != .some(.none) {
      try folder.write(text, to: name)
    }
    return try CLIPTokenizer(folder: folder.url)
  }

  @Test func defaults() throws {
    let tokenizer = try tokenizer()
    #expect(tokenizer.vocabularySize == 7)
    #expect(tokenizer.encode("AB z").ids == [4, 6, 5, 5, 5, 5])
    #expect(tokenizer.encode("a<|endoftext|>b").ids == [4, 2, 5, 3, 5, 5])
  }

  @Test(arguments: ["a b</w>\r\n", "a b</w>", "#version: 0.2\n#version: 0.3\na b</w>\n"])
  func linesOfMerges(merges: String) throws {
    #expect(try tokenizer(["merges.txt": merges]).encode("ab").ids[1] == 6)
  }

  /// The two shapes of a token, and the two files they may be in.
  @Test(arguments: [#""b</w>""#, #"{"content":"b</w>"}"#, #"{"__type":"AddedToken","content":"b</w>","lstrip":false}"#])
  func spellingsOfTokens(token: String) throws {
    let inMap = try tokenizer(["special_tokens_map.json": #"{"pad_token":\#(token)}"#])
    #expect(inMap.paddingID == 3)
    let inBoth = try tokenizer(["tokenizer_config.json": #"{"model_max_length":6,"pad_token":"a"}"#])
    #expect(inBoth.paddingID == 3)
    try FileManager.default.removeItem(at: folder.url.appending(path: "special_tokens_map.json"))
    let inConfiguration = try tokenizer(["tokenizer_config.json": #"{"model_max_length":6,"pad_token":\#(token)}"#])
    #expect(inConfiguration.paddingID == 3)
  }

  @Test func tokensThatTheVocabularyLacksAreNumberedOn() throws {
    let tokenizer = try tokenizer([
      "special_tokens_map.json": #"{"pad_token":"<p>","additional_special_tokens":["<q>"]}"#
    ])
    #expect(tokenizer.paddingID == 7)
    #expect(tokenizer.vocabularySize == 9)
    #expect(tokenizer.encode("a<q>").ids == [4, 2, 8, 5, 7, 7])
  }

  @Test func addedTokensFile() throws {
    let tokenizer = try tokenizer(["added_tokens.json": #"{"<S>":7}"#])
    #expect(tokenizer.encode("a<s>b<S>").ids == [4, 2, 7, 3, 7, 5])
  }

  @Test func theShortestSequence() throws {
    let encoding = try tokenizer(["tokenizer_config.json": #"{"model_max_length":2}"#]).encode("a ab")
    #expect(encoding.ids == [4, 5])
    #expect(encoding.discardedText == "a ab")
  }

  @Test(arguments: ["vocab.json", "merges.txt", "tokenizer_config.json"])
  func missingFiles(name: String) throws {
    let error = try #require(throws: CheckpointError.self) { try tokenizer([name: nil]) }
    #expect(error.kind == .unreadableFile)
    #expect(error.file.lastPathComponent == name)
  }

  @Test(
    arguments: [
      ("vocab.json", "", .malformedJSON, nil),
      ("vocab.json", "[]", .malformedJSON, nil),
      ("vocab.json", #"{"a":0,"a":1}"#, .malformedJSON, "a"),
      ("vocab.json", #"{"a":-1}"#, .malformedJSON, "a"),
      ("vocab.json", #"{"a":1.0}"#, .malformedJSON, "a"),
      ("vocab.json", #"{"a":4294967296}"#, .malformedJSON, "a"),
      ("vocab.json", #"{"a":"0"}"#, .malformedJSON, "a"),
      ("vocab.json", #"{"a":0,"b":0}"#, .malformedJSON, "b"),
      ("vocab.json", #"{"a":0,"b</w>":1,"ab</w>":2}"#, .malformedTokenizer, "<|endoftext|>"),
      ("merges.txt", "a\n", .malformedTokenizer, nil),
      ("merges.txt", "a b c\n", .malformedTokenizer, nil),
      ("merges.txt", "a  b\n", .malformedTokenizer, nil),
      ("merges.txt", "a b</w>\n\na b</w>", .malformedTokenizer, nil),
      ("merges.txt", "a z\n", .malformedTokenizer, "z"),
      ("merges.txt", "b a\n", .malformedTokenizer, "ba"),
      ("tokenizer_config.json", "{}", .badConfiguration, "model_max_length"),
      ("tokenizer_config.json", #"{"model_max_length":1}"#, .badConfiguration, "model_max_length"),
      ("tokenizer_config.json", #"{"model_max_length":-77}"#, .badConfiguration, "model_max_length"),
      ("tokenizer_config.json", #"{"model_max_length":7.5}"#, .badConfiguration, "model_max_length"),
      (
        "tokenizer_config.json", #"{"model_max_length":1000000000000000019884624838656}"#, .badConfiguration,
        "model_max_length"
      ),
      ("tokenizer_config.json", #"{"model_max_length":"77"}"#, .badConfiguration, "model_max_length"),
      ("tokenizer_config.json", #"{"model_max_length":6,"padding_side":"left"}"#, .badConfiguration, "padding_side"),
      (
        "tokenizer_config.json", #"{"model_max_length":6,"truncation_side":"left"}"#, .badConfiguration,
        "truncation_side"
      ),
      ("tokenizer_config.json", #"{"model_max_length":6,"bos_token":7}"#, .badConfiguration, "bos_token"),
      ("tokenizer_config.json", #"{"model_max_length":6,"eos_token":{}}"#, .badConfiguration, "eos_token.content"),
      ("tokenizer_config.json", #"{"model_max_length":6,"unk_token":"<unk>"}"#, .malformedTokenizer, "<unk>"),
      ("special_tokens_map.json", #"{"pad_token":["a"]}"#, .badConfiguration, "pad_token"),
      ("special_tokens_map.json", "{", .malformedJSON, nil),
      ("added_tokens.json", #"{"<s>":"7"}"#, .badConfiguration, "<s>"),
    ] as [(String, String, CheckpointError.Kind, String?)])
  func malformedFiles(name: String, text: String, kind: CheckpointError.Kind, key: String?) throws {
    let error = try #require(throws: CheckpointError.self) { try tokenizer([name: text]) }
    #expect(error.kind == kind, "\(error)")
    #expect(error.key == key)
  }
}
