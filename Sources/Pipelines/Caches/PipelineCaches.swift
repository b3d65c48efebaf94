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
  /// The denoiser's view of texts. Those that are not in the cache are encoded together, each once.
  func prepared(_ texts: [String]) -> [UNet2DConditionModel.Prompt] {
    let keys = texts.map { PipelineCaches.PromptKey(model: identity, tokens: promptEncoder.tokenizer.encode($0).ids) }
    var known: [PipelineCaches.PromptKey: UNet2DConditionModel.Prompt] = [:]
    var missing: [PipelineCaches.PromptKey] = []
    for key in keys where known[key] == nil && !missing.contains(key) {
      if let prompt = caches.prompts[key] { known[key] = prompt } else { missing.append(key) }
    }
    for (key, embedding) in zip(missing, promptEncoder(tokens: missing.map(\.tokens))) {
      let prompt = denoiser.prepare(embedding)
      caches.prompts.insert(
        prompt, for: key, bytes: prompt.byteCount + key.tokens.count * MemoryLayout<Int>.stride)
      known[key] = prompt
    }
    return keys.map { known[$0]! }
  }
}
