import Checkpoints
import Networks

/// Compares a model in few bits with itself in single precision, by images with equal seeds.
public struct QualityGate: Sendable {
  /// What the images show; each has a seed of its own.
  public var prompts = [
    "a bold red letter A on a white background, serif", "a yellow digit 7 on a purple background, sans",
    "a photograph of a lighthouse at dusk", "a watercolour of a fox in the snow",
  ]
  /// Decibels that the images must have, over all values.
  public var requiredPSNR = 20.0
  public var seed: UInt64 = 0
  /// All of a request but its prompt, seed and count. It must not start from latents.
  public var template = GenerationRequest("", steps: 10)

  public init() {}

  /// An image of each prompt.
  ///
  /// - Throws: what generating does.
  public func images(of pipeline: TextToImagePipeline) async throws -> [Image] {
    var requests: [GenerationRequest] = []
    for (index, prompt) in prompts.enumerated() {
      var request = template
      request.prompt = prompt
      request.seed = seed &+ UInt64(index)
      request.count = 1
      requests.append(request)
    }
    // One by one, in the memory of one.
    var pipeline = pipeline
    pipeline.batchSize = 1
    pipeline.overlapsDecoding = false
    return try await pipeline.generate(requests).flatMap { $0.map(\.image) }
  }

  /// The images of a pipeline whose weights are in `format`.
  ///
  /// - Throws: ``QualityFailure`` where they are none, and what generating does.
  func images(of pipeline: TextToImagePipeline, in format: String) async throws -> [Image] {
    do {
      return try await images(of: pipeline)
    } catch PipelineError.unusableImage(_, _, let flaw) {
      throw QualityFailure(format: format, reason: .flaw(flaw))
    }
  }

  /// Compares what a pipeline draws with what its folder's weights do in single precision.
  ///
  /// - Throws: ``QualityFailure`` where the images are too far off, or are none; what reading and generating do.
  public func check(_ pipeline: TextToImagePipeline, of folder: ModelFolder) async throws -> ImageComparison {
    // Staged, so that the two are not in memory together for longer than they must.
    let reference = try TextToImagePipeline(folder, precision: .float32, residency: .staged)
    let originals = try await images(of: reference)
    let format = pipeline.precision.rawValue
    let comparison = ImageComparison(try await images(of: pipeline, in: format), with: originals)
    guard comparison.psnr >= requiredPSNR else {
      throw QualityFailure(format: format, reason: .distance(psnr: comparison.psnr, required: requiredPSNR))
    }
    return comparison
  }
}

/// A format that a model cannot be computed in.
public struct QualityFailure: Error, Hashable, CustomStringConvertible {
  public enum Reason: Hashable, Sendable {
    case flaw(ImageFlaw)
    /// In decibels.
    case distance(psnr: Double, required: Double)
  }

  public let format: String
  public let reason: Reason

  public var description: String {
    func tenths(_ ratio: Double) -> String { "\((ratio * 10).rounded() / 10)" }
    return switch reason {
    case .flaw(let flaw): "\(format) fails on this model: an image \(flaw)"
    case .distance(let psnr, let required):
      "\(format) fails on this model: images with equal seeds have \(tenths(psnr)) dB to those of fp32, and "
        + "\(tenths(required)) dB were asked for"
    }
  }
}

/// Why what a decoder made is no image.
public enum ImageFlaw: String, Hashable, Sendable, CustomStringConvertible {
  case notFinite
  case constant

  public var description: String {
    switch self {
    case .notFinite: "has values that are not finite"
    case .constant: "has one value everywhere"
    }
  }

  /// nil for values, `[height, width, 3]`, that make an image. One pass over them.
  init?(of values: UnsafeBufferPointer<Float>) {
    // 0 unless there is an infinity or NaN, which no sum takes away again.
    var poison: Float = 0
    var (least, most) = (Float.infinity, -Float.infinity)
    for value in values {
      poison += value * 0
      least = min(least, value)
      most = max(most, value)
    }
    if poison != 0 {
      self = .notFinite
    } else if values.count > 3, most - least < 1 / 255 {
      self = .constant
    } else {
      return nil
    }
  }
}
