import Foundation

/// The tokenizer of CLIP's text encoders: byte-level byte pair encoding with an end-of-word mark.
///
/// It gives the ids of `CLIPTokenizer` in transformers 5.23 (tokenizers 0.23) for every text and any vocabulary in
/// CLIP's format, its ids counted from 0 without gaps. Where the tables of the Unicode versions involved differ
/// (normalisation by 9, classes by 16, case by 17), this follows transformers'. That needs a standard library that
/// knows Unicode 17, as Swift's on Linux does since 6.3; an older one takes the characters that are new to it for
/// symbols without a lower case. Sources: the CLIP release, and `added_vocabulary.rs`, `byte_level.rs` and
/// `bpe/word.rs` of github.com/huggingface/tokenizers.
///
/// Of two added tokens that normalise to the same text, which is ambiguous, the one with the lower id is found.
///
/// `tokenizer.json` is not read: the folders of Stable Diffusion have none, and transformers builds the same from the
/// files that are.
public struct CLIPTokenizer: Sendable {
  /// A text's tokens.
  public struct Encoding: Hashable, Sendable {
    /// The begin token, the text's tokens, the end token and padding: ``CLIPTokenizer/maximumLength`` of them.
    public let ids: [Int]

    /// The tokens of ``ids``, one for each, as the vocabulary spells them.
    public let tokens: [String]

    /// How many of ``ids`` are not padding, the begin and end tokens included.
    public let count: Int

    /// The tokens, as the vocabulary spells them, that did not fit.
    public let discardedTokens: [String]

    /// The text that did not fit, lower-cased as the vocabulary has it; empty where all did.
    public let discardedText: String
  }

  /// The number of ids in every encoding.
  public let maximumLength: Int

  /// The id of the token that every encoding begins with.
  public let beginID: Int

  /// The id of the token that ends a text.
  public let endID: Int

  /// The id that fills an encoding after the end token; in many folders the same as ``endID``.
  public let paddingID: Int

  /// How many rows an embedding table needs: the greatest id, and one.
  public let vocabularySize: Int

  private let encoder: BytePairEncoder
  private let verbatim: AddedTokenMatcher
  private let normalized: AddedTokenMatcher
  private let spellings: [Int: String]

  /// Reads the tokenizer in `folder`: `vocab.json`, `merges.txt`, `tokenizer_config.json` and, if there,
  /// `special_tokens_map.json` and `added_tokens.json`.
  ///
  /// - Throws: ``CheckpointError`` where a file is missing or malformed, a merge's token is not in the vocabulary, or
  ///   the unknown token is not.
  public init(folder: URL) throws(CheckpointError) {
    let files = try TokenizerFiles(folder: folder)
    let vocabulary = files.vocabulary
    let vocabularyURL = folder.appending(path: "vocab.json", directoryHint: .notDirectory)
    guard let unknown = vocabulary[files.unknown] else {
      throw CheckpointError(
        .malformedTokenizer, file: vocabularyURL, key: files.unknown, found: "nothing", expected: "the unknown token")
    }
    encoder = try Self.encoder(files, unknown: unknown, vocabularyURL: vocabularyURL)

    // As in transformers, tokens that the vocabulary lacks are numbered from its size on, even if it skips ids and so
    // has some beyond; a token then takes the place of another with its id.
    var ids: [String: Int] = [:]
    var added: [Int: AddedToken] = [:]
    var next = vocabulary.count
    for token in files.addedTokens where !token.content.isEmpty {
      let known = ids[token.content] ?? vocabulary[token.content]
      let id = known ?? next
      if known == nil { next += 1 }
      ids[token.content] = id
      added[id] = token
    }
    maximumLength = files.length
    beginID = ids[files.begin] ?? unknown
    endID = ids[files.end] ?? unknown
    paddingID = ids[files.padding] ?? unknown
    verbatim = AddedTokenMatcher(added.filter { !$1.isNormalized })
    normalized = AddedTokenMatcher(added.filter(\.value.isNormalized))
    let ordinary = Dictionary(uniqueKeysWithValues: vocabulary.map { ($1, $0) })
    spellings = ordinary.merging(added.mapValues(\.spelling)) { $1 }
    vocabularySize = (spellings.keys.max() ?? 0) + 1
  }

  /// The tokens of `text`, cut off at ``maximumLength`` or padded to it.
  ///
  /// Special tokens spelled out in the text count as such. Takes time proportional to n log n in the length of the
  /// text, whatever it says.
  public func encode(_ text: String) -> Encoding {
    let all = textIDs(text)
    let kept = all.prefix(maximumLength - 2)
    let discarded = all.dropFirst(kept.count)
    let content = [beginID] + kept + [endID]
    let ids = content + Array(repeating: paddingID, count: maximumLength - content.count)
    return Encoding(
      ids: ids, tokens: ids.map(spelling), count: content.count, discardedTokens: discarded.map(spelling),
      discardedText: decode(discarded))
  }

  /// The tokens of `text` alone.
  private func textIDs(_ text: String) -> [Int] {
    var ids: [Int] = []
    for part in verbatim.split(Array(text.unicodeScalars)[...]) {
      guard case .text(let stretch) = part else {
        if case .token(let id) = part { ids.append(id) }
        continue
      }
      for part in normalized.split(TextNormalizer.normalize(stretch)[...]) {
        switch part {
        case .token(let id): ids.append(id)
        case .text(let stretch):
          for piece in TextSplitter.split(stretch) {
            ids += encoder.tokens(of: piece.flatMap { Array(UTF8.encode($0) ?? UTF8.encodedReplacementCharacter) })
          }
        }
      }
    }
    return ids
  }

  private func spelling(_ id: Int) -> String { spellings[id] ?? "" }

  /// The text that `ids` spell, with a space after each word but the last.
  private func decode(_ ids: some Sequence<Int>) -> String {
    let bytes = ids.flatMap { id in
      let spelling = spelling(id)
      let bytes = spelling.unicodeScalars.compactMap { ByteAlphabet.bytes[$0] }
      return bytes.count == spelling.unicodeScalars.count ? bytes : Array(spelling.utf8)
    }
    // By bytes and scalars: a mark that starts a word is one Character with the end of the word before.
    let spaced = bytes.split(separator: Array(Self.wordEnd.utf8), omittingEmptySubsequences: false)
      .joined(separator: " ".utf8)
    let text = String(decoding: Array(spaced), as: UTF8.self).unicodeScalars
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.isWhitespace || ("\u{1C}"..." ").contains(scalar)
    }
    let start = text.firstIndex { !isSpace($0) } ?? text.endIndex
    let end = text.lastIndex { !isSpace($0) }.map(text.index(after:)) ?? start
    return String(text[start..<end])
  }

  /// The mark at the end of a word's last token.
  private static let wordEnd = "</w>"

  private static func encoder(
    _ files: TokenizerFiles, unknown: Int, vocabularyURL: URL
  ) throws(CheckpointError) -> BytePairEncoder {
    let vocabulary = files.vocabulary
    func id(_ token: String) throws(CheckpointError) -> Int {
      guard let id = vocabulary[token] else {
        throw CheckpointError(
          .malformedTokenizer, file: vocabularyURL, key: token, found: "nothing",
          expected: "an id, as merges.txt has the token")
      }
      return id
    }
    var merges: [(pair: BytePairEncoder.Pair, product: Int)] = []
    for (left, right) in files.merges {
      merges.append((BytePairEncoder.Pair(left: try id(left), right: try id(right)), try id(left + right)))
    }
    let alphabet = ByteAlphabet.characters.map(String.init)
    return BytePairEncoder(
      inner: alphabet.map { vocabulary[$0] ?? unknown }, final: alphabet.map { vocabulary[$0 + wordEnd] ?? unknown },
      merges: merges)
  }
}
