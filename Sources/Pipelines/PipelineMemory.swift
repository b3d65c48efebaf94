import DenseTensors
import Networks
import Sampling
import Tensors

/// The memory that generating takes, in bytes, as it is known beforehand.
public struct MemoryEstimate: Hashable, Sendable {
  public let weights: Int
  /// The tensors of one evaluation of the denoiser with what a step cache keeps, and of decoding one image.
  public let denoising: Int
  public let decoding: Int

  /// Whether one batch is decoded while the next is denoised.
  public let overlaps: Bool

  /// Weights, and of the rest the larger, or both where they overlap. Images, states of the sampler and what each thread
  /// keeps for its kernels, about a megabyte, come on top.
  public var peak: Int { weights + (overlaps ? denoising + decoding : max(denoising, decoding)) }
}

/// What the networks of a pipeline are run with: computations of one kind have the same tensors.
enum ComputationKind: Hashable, Sendable {
  case denoising([GuidanceBranch.Perturbation], Shape, promptLengths: [Int], Part, tokenMerging: Double)
  case decoding(Shape)

  /// How much of the denoiser is run.
  enum Part: Hashable {
    case whole
    /// The first maps.
    case shallow(Int)
    /// All with features to keep, or around such features; with the first maps given or not.
    case cut(Int, isDeep: Bool, hasMaps: Bool)
  }
}

extension TextToImagePipeline {
  /// The memory that a request takes.
  ///
  /// - Throws: as ``generate(_:observe:)`` does for a request that cannot be met.
  public func memory(for request: GenerationRequest) throws -> MemoryEstimate {
    try memory(for: [request])
  }

  /// The memory that requests take which are generated together.
  ///
  /// - Throws: as ``generate(_:observe:)`` does for requests that cannot be met.
  public func memory(for requests: [GenerationRequest]) throws -> MemoryEstimate {
    try memory(for: groups(of: requests), limit: requests.compactMap(\.memoryLimit).min())
  }

  private func memory(for groups: [RequestGroup], limit: Int?) throws -> MemoryEstimate {
    var denoising = 0
    var decoding = 0
    for group in groups {
      let branches =
        group.sampler.evaluatedPoints.enumerated().map { evaluation, point in
          group.guidance.branches(at: GuidanceMoment(point: point, evaluation: evaluation)).count
        }.max() ?? 1
      let (height, width) = (group.shape[0], group.shape[1])
      let batch = min(group.images.count, batchSize) * branches
      let tokens = promptEncoder.tokenizer.maximumLength
      denoising = max(
        denoising,
        group.stepCache?.bytes(of: batch, shape: group.shape, promptLength: tokens, in: denoiser)
          ?? denoiser.activationPlan(
            batch: batch, height: height, width: width, promptLength: tokens, tokenMerging: group.tokenMerging
          ).peakBytes)
      decoding = max(decoding, autoencoder.decodingPlan(height: height, width: width).peakBytes)
    }
    let weights = promptEncoder.model.weightBytes + denoiser.weightBytes + autoencoder.weightBytes
    let fits = limit.map { weights + denoising + decoding <= $0 } ?? true
    return MemoryEstimate(
      weights: weights, denoising: denoising, decoding: decoding, overlaps: fits && overlaps(decodingOf: groups))
  }

  /// Never on one thread, since decoding would bring a second.
  private func overlaps(decodingOf groups: [RequestGroup]) -> Bool {
    overlapsDecoding && ThreadPool.threadCount > 1
      && groups.reduce(0) { $0 + ($1.images.count + batchSize - 1) / batchSize } > 1
  }

  /// Whether there is memory for decoding one batch while the next is denoised.
  ///
  /// - Throws: ``PipelineError/insufficientMemory(needed:limit:)``.
  func checkMemory(of groups: [RequestGroup], _ requests: [GenerationRequest]) throws -> Bool {
    guard let limit = requests.compactMap(\.memoryLimit).min() else { return overlaps(decodingOf: groups) }
    let estimate = try memory(for: groups, limit: limit)
    guard estimate.peak <= limit else { throw PipelineError.insufficientMemory(needed: estimate.peak, limit: limit) }
    return estimate.overlaps
  }
}
