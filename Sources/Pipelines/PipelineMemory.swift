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

  /// Weights and the larger of the rest, which do not overlap. Images, states of the sampler and what each thread keeps
  /// for its kernels, about a megabyte, come on top.
  public var peak: Int { weights + max(denoising, decoding) }
}

/// What the networks of a pipeline are run with: computations of one kind have the same tensors.
enum ComputationKind: Hashable, Sendable {
  case denoising([GuidanceBranch.Perturbation], Shape, promptLengths: [Int], Part)
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
    let shape = try latentShape(size: request.image.map { ($0.width, $0.height) } ?? request.size)
    let sampler = try sampler(for: request)
    let guidance: any Guidance = try request.guidance ?? ClassifierFreeGuidance(scale: request.guidanceScale)
    let branches =
      sampler.evaluatedPoints.enumerated().map { evaluation, point in
        guidance.branches(at: GuidanceMoment(point: point, evaluation: evaluation)).count
      }.max() ?? 1
    let images = min(max(request.count, 1), batchSize)
    let tokens = promptEncoder.tokenizer.maximumLength
    let denoising =
      request.stepCache?.bytes(of: images * branches, shape: shape, promptLength: tokens, in: denoiser)
      ?? denoiser.activationPlan(batch: images * branches, height: shape[0], width: shape[1], promptLength: tokens)
      .peakBytes
    return MemoryEstimate(
      weights: promptEncoder.model.weightBytes + denoiser.weightBytes + autoencoder.weightBytes,
      denoising: denoising, decoding: autoencoder.decodingPlan(height: shape[0], width: shape[1]).peakBytes)
  }

  /// - Throws: ``PipelineError/insufficientMemory(needed:limit:)``.
  func checkMemory(of request: GenerationRequest) throws {
    guard let limit = request.memoryLimit else { return }
    let needed = try memory(for: request).peak
    guard needed <= limit else { throw PipelineError.insufficientMemory(needed: needed, limit: limit) }
  }
}
