import Checkpoints
import DenseTensors
import Networks
import Tensors

/// Tokenizer and text encoder together: from a prompt to its embeddings.
public struct PromptEncoder: Sendable {
  public let tokenizer: CLIPTokenizer
  /// How many prompts go through the text encoder side by side.
  static let batchSize = 8
  let slot: NetworkSlot<CLIPTextModel>
  private let counter = EvaluationCounter()

  /// The text encoder, read from the model's folder where it is not in memory.
  ///
  /// - Throws: `CheckpointError`.
  public var model: CLIPTextModel { get throws { try slot.hold().network } }

  /// How many prompts the text encoder has been run on.
  public var evaluationCount: Int { counter.value }

  /// - Throws: `CheckpointError` where a component is broken or the two do not fit each other.
  public init(
    _ folder: ModelFolder, precision: Precision = .float32, residency: Residency = .resident
  ) throws {
    let url = try folder.componentURL("tokenizer")
    tokenizer = try CLIPTokenizer(folder: url)
    slot = try NetworkSlot(residency) { try CLIPTextModel(folder, precision: precision, isOutline: $0) }
    let model = slot.outline
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
  ///
  /// - Throws: `CheckpointError` where the text encoder is not in memory and cannot be read.
  public func callAsFunction(_ prompts: [String]) throws -> [DenseTensor<Float>] {
    try callAsFunction(tokens: prompts.map { tokenizer.encode($0).ids })
  }

  /// The embeddings of each prompt's token ids, `[tokens, width]`: the same bits alone and among others.
  func callAsFunction(tokens: [[Int]]) throws -> [DenseTensor<Float>] {
    guard !tokens.isEmpty else { return [] }
    counter.add(tokens.count)
    let model = try model
    return stride(from: 0, to: tokens.count, by: Self.batchSize).flatMap { first in
      let batch = Array(tokens[first..<min(first + Self.batchSize, tokens.count)])
      let embeddings = model(batch)
      return batch.indices.map { embeddings[outer: $0] }
    }
  }
}
