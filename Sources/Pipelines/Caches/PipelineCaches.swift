import DenseTensors
import Networks
import Synchronization
import Tensors

/// What a pipeline remembers from one request to the next. All of it is exact: images have the same bits with and
/// without.
///
/// Copies of a pipeline share it, and so can pipelines of several models.
public final class PipelineCaches: Sendable {
  /// The denoiser's keys and values of prompts, by model and token ids.
  public let prompts: LRUCache<PromptKey, UNet2DConditionModel.Prompt>
  /// The latents of images, by model and content.
  public let encodedImages: LRUCache<ImageKey, DenseTensor<Float>>

  public init(promptBytes: Int = 64 << 20, imageBytes: Int = 64 << 20) {
    prompts = LRUCache(byteLimit: promptBytes)
    encodedImages = LRUCache(byteLimit: imageBytes)
  }

  public func removeAll() {
    prompts.removeAll()
    encodedImages.removeAll()
  }

  public struct PromptKey: Hashable, Sendable {
    let model: ModelIdentity
    let tokens: [Int]
  }

  /// The pixels themselves and not a digest of them, so that no two images are ever confused.
  public struct ImageKey: Hashable, Sendable {
    let model: ModelIdentity
    let image: Image
  }
}

/// Stands for the loaded weights of a pipeline: equal only to itself.
final class ModelIdentity: Hashable, Sendable {
  static func == (left: ModelIdentity, right: ModelIdentity) -> Bool { left === right }
  func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// Evaluations of a network, counted from any thread.
final class EvaluationCounter: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .relaxed) }
  func add(_ evaluations: Int) { count.add(evaluations, ordering: .relaxed) }
}

extension TextToImagePipeline {
  /// A text on its way to the denoiser.
  enum EncodedText {
    /// `[tokens, width]`.
    case embeddings(DenseTensor<Float>)
    case prompt(UNet2DConditionModel.Prompt)
  }

  private func key(of text: String) -> PipelineCaches.PromptKey {
    PipelineCaches.PromptKey(model: identity, tokens: promptEncoder.tokenizer.encode(text).ids)
  }

  /// What the cache has of texts, and the embeddings of the others, each encoded once.
  func encoded(_ texts: [String]) throws -> [PipelineCaches.PromptKey: EncodedText] {
    var known: [PipelineCaches.PromptKey: EncodedText] = [:]
    var missing: [PipelineCaches.PromptKey] = []
    var isMissing: Set<PipelineCaches.PromptKey> = []
    for key in texts.map(key) where known[key] == nil && !isMissing.contains(key) {
      if let prompt = caches.prompts[key] {
        known[key] = .prompt(prompt)
      } else {
        missing.append(key)
        isMissing.insert(key)
      }
    }
    for (key, embeddings) in zip(missing, try promptEncoder(tokens: missing.map(\.tokens))) {
      known[key] = .embeddings(embeddings)
    }
    return known
  }

  /// The denoiser's view of texts that have been encoded.
  func prepared(
    _ texts: [String], from encoded: [PipelineCaches.PromptKey: EncodedText], with model: UNet2DConditionModel
  ) -> [UNet2DConditionModel.Prompt] {
    var known: [PipelineCaches.PromptKey: UNet2DConditionModel.Prompt] = [:]
    return texts.map { text in
      let key = key(of: text)
      if let prompt = known[key] { return prompt }
      switch encoded[key]! {
      case .prompt(let prompt): known[key] = prompt
      case .embeddings(let embeddings):
        let prompt = model.prepare(embeddings)
        caches.prompts.insert(
          prompt, for: key, bytes: prompt.byteCount + key.tokens.count * MemoryLayout<Int>.stride)
        known[key] = prompt
      }
      return known[key]!
    }
  }
}
