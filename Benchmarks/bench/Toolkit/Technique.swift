/// A way to make sampling cheaper or better, what is commonly claimed for it, and how it is measured here.
struct Technique: Sendable {
  let name: String
  let claimed: String
  let measure: @Sendable (SettingBench) async throws -> Finding

  /// Every row of `bench toolkit`. A new technique is one more element here, with a measurement of its own.
  static let all = sampling + precisions + guidance + production
}

/// What came of a claim on this machine.
struct Finding: Encodable, Sendable {
  let measured: String
  /// Why the claim is not what was measured; empty where it is.
  var why = ""
  /// The figures behind the words.
  var figures: [String: Double] = [:]
}

extension Finding {
  struct Row: Encodable, Sendable {
    let technique: String
    let claimed: String
    let finding: Finding
  }
}
