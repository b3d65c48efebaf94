import ArgumentParser
import Fewstep

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the token ids of a text, and what the length limit cuts off.")

  @Argument(help: "The text.")
  var text: String

  @OptionGroup var model: ModelOption

  @Flag(help: "Print JSON.")
  var json = false

  private struct Result: Encodable {
    let ids: [Int]
    let tokens: [String]
    let count: Int
    let maximumLength: Int
    let discardedTokens: [String]
    let discardedText: String
  }

  func run() throws {
    let tokenizer = try CLIPTokenizer(folder: model.folder(for: nil).componentURL("tokenizer"))
    let encoding = tokenizer.encode(text)
    guard !json else {
      return try printJSON(
        Result(
          ids: encoding.ids, tokens: encoding.tokens, count: encoding.count, maximumLength: tokenizer.maximumLength,
          discardedTokens: encoding.discardedTokens, discardedText: encoding.discardedText))
    }
    print(table(zip(encoding.ids, encoding.tokens).prefix(encoding.count).map { ["\($0)", $1] }))
    print("\(encoding.count) of \(tokenizer.maximumLength) tokens, the rest is padding (\(tokenizer.paddingID))")
    if !encoding.discardedTokens.isEmpty {
      print("cut off: \(encoding.discardedTokens.count) tokens, \"\(encoding.discardedText)\"")
    }
  }
}
