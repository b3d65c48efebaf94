import Fewstep
import Foundation

/// What a prompt asks of a picture of a letter or digit, as indices into the evaluator's labels.
public struct GlyphPrompt: Hashable, Sendable, Codable {
  public let character: Int
  public let foreground: Int
  public let background: Int
  public let bold: Bool
  public let italic: Bool
  public let serif: Bool

  static let characters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
  static let colours = ["black", "white", "red", "green", "blue", "yellow", "orange", "purple"]

  /// Written out, such as `a bold italic red letter A on a white background, serif`.
  public var text: String { text(prefix: nil) }

  /// Written out, with `prefix` in front of the attributes: a word for a kind of degradation.
  public func text(prefix: String?) -> String {
    let words =
      [prefix, bold ? "bold" : nil, italic ? "italic" : nil].compactMap { $0 }
      + [Self.colours[foreground], character < 26 ? "letter" : "digit", String(Self.characters[character])]
    return "a \(words.joined(separator: " ")) on a \(Self.colours[background]) background, \(serif ? "serif" : "sans")"
  }

  /// The words for degraded pictures that the model knows, and the negative prompt made of them.
  public static let degradations = ["blurry", "noisy", "low contrast"]
  public static let negative = degradations.joined(separator: ", ")

  /// The prompts of Tools/train-glyphs/EVALUATION.md in their order: 512 renders of fonts that nobody trained on.
  ///
  /// - Throws: `CheckpointError` where the package's resources are gone or damaged.
  public static func evaluation() throws(CheckpointError) -> [GlyphPrompt] {
    let url = GlyphEvaluator.resource("prompts.json")
    do {
      return try JSONDecoder().decode([GlyphPrompt].self, from: Data(contentsOf: url))
    } catch {
      throw CheckpointError(.malformedJSON, file: url, found: "\(error)", expected: "a list of prompts")
    }
  }
}
