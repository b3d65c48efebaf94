import Checkpoints
import DenseTensors
import Networks
import Tensors

/// Tokenizer and text encoder together: from a prompt to its embeddings.
public struct PromptEncoder: Sendable {
  public let tokenizer: CLIPTokenizer
  public let model: CLIPTextModel
  private let counter = EvaluationCounter()

  /// How many prompts the text encoder has been run on.
  public var evaluationCount: Int { counter.value }

  /// - Throws: `CheckpointError` where a component is broken or the two do not fit each other.
  public init(_ folder: ModelFolder, precision: Precision = .float32) throws(CheckpointError) {
    let url = try folder.componentURL("tokenizer")
    tokenizer = try CLIPTokenizer(folder: url)
    model = try CLIPTextModel(folder, precision: precision)
    guard tokenizer.vocabularySize <= model.vocabularySize else {
      throw CheckpointError(
        .malformedTokenizer, file: url, found: "\(tokenizer.vocabularySize) tokens",
        expected: "at most the text encoder's vocab_size, \(model.vocabularySize)")
    }
    guard tokenizer.maximumLength <= model.maximumLength else {
      throw CheckpointError(
        .malformedTokenizer, file: url, found: "prompts of \(tokenizer.maximumLength) tokens",
        expected: "at most the text encoder's max_position_embeddings, \(model.maximumLength)")
    }
  }

  /// The embeddings of each prompt, `[tokens, width]`.
  public func callAsFunction(_ prompts: [String]) -> [DenseTensor<Float>] {
    callAsFunction(tokens: prompts.map { tokenizer.encode($0).ids })
  }

  /// The embeddings of each prompt's token ids, `[tokens, width]`: the same bits alone and among others.
  func callAsFunction(tokens: [[Int]]) -> [DenseTensor<Float>] {
    guard !tokens.isEmpty else { return [] }
    counter.add(tokens.count)
    let embeddings = model(tokens)
    return tokens.indices.map { embeddings[outer: $0] }
  }
}
