import Foundation

/// What the files of a CLIP tokenizer say, read and checked.
struct TokenizerFiles {
  /// The longest sequence that is allowed for: a padded one is allocated for every text.
  static let maximumLength = 1 << 20

  let vocabulary: [String: Int]
  /// Left and right half of each merge, by rank.
  let merges: [(left: String, right: String)]
  /// Tokens found as a whole, in the order they were added. Of equal ones the last counts.
  let addedTokens: [AddedToken]
  let begin: String
  let end: String
  let unknown: String
  let padding: String
  let length: Int

  init(folder: URL) throws(CheckpointError) {
    func file(_ name: String) -> URL { folder.appending(path: name, directoryHint: .notDirectory) }
    func optional<Value: Decodable>(_ type: Value.Type, _ name: String) throws(CheckpointError) -> Value? {
      guard FileManager.default.fileExists(atPath: file(name).path) else { return nil }
      return try decodeJSON(type, from: file(name))
    }
    vocabulary = try Self.vocabulary(file("vocab.json"))
    merges = try Self.merges(file("merges.txt"))

    let configuration = try decodeJSON(Configuration.self, from: file("tokenizer_config.json"))
    length = try configuration.checkedLength(file: file("tokenizer_config.json"))
    // The decoder of added tokens makes the older files obsolete: transformers then passes over them.
    let isLegacy = configuration.numberedTokens == nil
    let map = isLegacy ? try optional(SpecialTokens.self, "special_tokens_map.json") : nil
    let legacy = isLegacy ? try optional([String: Int].self, "added_tokens.json") : nil

    let special = configuration.special.updated(with: map)
    begin = special.named[.begin]?.token.content ?? "<|startoftext|>"
    end = special.named[.end]?.token.content ?? "<|endoftext|>"
    unknown = special.named[.unknown]?.token.content ?? "<|endoftext|>"
    padding = special.named[.padding]?.token.content ?? "<|endoftext|>"

    let defaults: [SpecialTokens.Role: String] = [.begin: begin, .end: end, .unknown: unknown, .padding: padding]
    let named = SpecialTokens.Role.allCases.compactMap { role in
      special.named[role] ?? defaults[role].map(TokenSpelling.init)
    }
    // transformers asks what is special before it has made tokens of the configuration's objects and of the map's
    // list, and so misses those.
    let seen = special.named.filter { role, spelling in map?.named[role] != nil || !spelling.isObject }
    let specialContents = Set((seen.values + configuration.special.extra).map(\.token.content))
    let older = (legacy ?? [:]).map { content, id in
      (id: id, token: AddedToken(content: content, isNormalized: !specialContents.contains(content)))
    }
    let numbered = configuration.numberedTokens ?? older
    addedTokens = Self.added(numbered.sorted { $0.id < $1.id }.map(\.token), then: named + special.extra)
  }

  /// `first`, then those of `spellings` whose contents are not among it, each spelling once: the order in which
  /// transformers adds them.
  private static func added(_ first: [AddedToken], then spellings: [TokenSpelling]) -> [AddedToken] {
    let taken = Set(first.map(\.content))
    var added: [TokenSpelling] = []
    for spelling in spellings where !taken.contains(spelling.token.content) && !added.contains(spelling) {
      added.append(spelling)
    }
    return first + added.map(\.token)
  }

  private static func vocabulary(_ url: URL) throws(CheckpointError) -> [String: Int] {
    var vocabulary: [String: Int] = [:]
    var ids = Set<Int>()
    try scanJSON(url) { scanner throws(JSONScanner.Failure) in
      try scanner.object { scanner, token throws(JSONScanner.Failure) in
        let id = try scanner.naturalNumber()
        guard id < Int32.max else { throw JSONScanner.Failure(found: "\(id)", expected: "less than \(Int32.max)") }
        guard ids.insert(id).inserted else { throw JSONScanner.Failure(found: "\(id) again", expected: "each id once") }
        vocabulary[token] = id
      }
    }
    return vocabulary
  }

  private static func merges(_ url: URL) throws(CheckpointError) -> [(left: String, right: String)] {
    guard let text = String(validating: try contents(of: url), as: UTF8.self) else {
      throw CheckpointError(.malformedTokenizer, file: url, found: "other bytes", expected: "UTF-8")
    }
    var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    var merges: [(left: String, right: String)] = []
    for (number, line) in lines.enumerated() where !line.starts(with: "#version".unicodeScalars) {
      let parts = (line.last == "\r" ? line.dropLast() : line).split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw CheckpointError(
          .malformedTokenizer, file: url, found: "\(quoted(String(line))) in line \(number + 1)",
          expected: "two tokens with a space between")
      }
      merges.append((String(parts[0]), String(parts[1])))
    }
    return merges
  }
}

/// `tokenizer_config.json`, as far as it bears on ids.
private struct Configuration: Decodable {
  let length: Double?
  let sides: [CodingKeys: String]
  /// The tokens of `added_tokens_decoder` by their ids.
  let numberedTokens: [(id: Int, token: AddedToken)]?
  let special: SpecialTokens

  enum CodingKeys: String, CodingKey {
    case length = "model_max_length"
    case paddingSide = "padding_side"
    case truncationSide = "truncation_side"
    case numberedTokens = "added_tokens_decoder"
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    length = try container.decodeIfPresent(Double.self, forKey: .length)
    sides = try [CodingKeys.paddingSide, .truncationSide].reduce(into: [:]) { sides, key in
      sides[key] = try container.decodeIfPresent(String.self, forKey: key)
    }
    numberedTokens = try container.decodeIfPresent([Int: TokenSpelling].self, forKey: .numberedTokens)?
      .map { ($0, $1.token) }
    special = try SpecialTokens(from: decoder)
  }

  /// The checked sequence length. The begin and the end token must fit.
  func checkedLength(file: URL) throws(CheckpointError) -> Int {
    for (key, side) in sides where side != "right" {
      throw CheckpointError(
        .badConfiguration, file: file, key: key.rawValue, found: quoted(side), expected: quoted("right"))
    }
    // A Double, because transformers writes 10^30 for no limit.
    guard let checked = length.flatMap(Int.init(exactly:)), 2...TokenizerFiles.maximumLength ~= checked else {
      throw CheckpointError(
        .badConfiguration, file: file, key: CodingKeys.length.rawValue, found: length.map { "\($0)" } ?? "nothing",
        expected: "an integer from 2 to \(TokenizerFiles.maximumLength)")
    }
    return checked
  }
}

/// The special tokens that `special_tokens_map.json` or `tokenizer_config.json` names.
private struct SpecialTokens: Decodable {
  /// What a token is for, in the order in which transformers adds them.
  enum Role: String, CaseIterable, CodingKey {
    case begin = "bos_token"
    case end = "eos_token"
    case unknown = "unk_token"
    case separator = "sep_token"
    case padding = "pad_token"
    case classification = "cls_token"
    case mask = "mask_token"
  }

  private enum ExtraKeys: String, CodingKey {
    case extra = "extra_special_tokens"
    case additional = "additional_special_tokens"
  }

  private(set) var named: [Role: TokenSpelling] = [:]
  private(set) var extra: [TokenSpelling] = []

  init(from decoder: any Decoder) throws {
    let names = try decoder.container(keyedBy: Role.self)
    for role in Role.allCases { named[role] = try names.decodeIfPresent(TokenSpelling.self, forKey: role) }
    let lists = try decoder.container(keyedBy: ExtraKeys.self)
    extra =
      try lists.decodeIfPresent([TokenSpelling].self, forKey: .extra)
      ?? lists.decodeIfPresent([TokenSpelling].self, forKey: .additional) ?? []
  }

  /// These tokens, with those that `map` names in place of their namesakes.
  func updated(with map: SpecialTokens?) -> SpecialTokens {
    var updated = self
    updated.named.merge(map?.named ?? [:]) { $1 }
    updated.extra += map?.extra ?? []
    return updated
  }
}

/// A token as the JSON files write it: a string, or an object with the string under `content`.
private struct TokenSpelling: Decodable, Hashable {
  let token: AddedToken
  /// transformers takes a string and an object for different tokens, even if the object says nothing more.
  let isObject: Bool

  private enum CodingKeys: String, CodingKey {
    case content, lstrip, rstrip, normalized
    case singleWord = "single_word"
  }

  init(_ content: String) {
    self.init(token: AddedToken(content: content), isObject: false)
  }

  private init(token: AddedToken, isObject: Bool) {
    self.token = token
    self.isObject = isObject
  }

  init(from decoder: any Decoder) throws {
    guard let object = try? decoder.container(keyedBy: CodingKeys.self) else {
      self.init(try decoder.singleValueContainer().decode(String.self))
      return
    }
    func flag(_ key: CodingKeys) throws -> Bool { try object.decodeIfPresent(Bool.self, forKey: key) ?? false }
    let token = AddedToken(
      content: try object.decode(String.self, forKey: .content), isSingleWord: try flag(.singleWord),
      stripsLeft: try flag(.lstrip), stripsRight: try flag(.rstrip), isNormalized: try flag(.normalized))
    self.init(token: token, isObject: true)
  }
}
