import DenseTensors
import Sampling
import Tensors

/// What to generate: a prompt and how to sample it.
public struct GenerationRequest: Sendable {
  public var prompt: String
  /// What the images shall not show; takes the place of the empty prompt in guidance.
  public var negativePrompt: String
  /// Prompts beyond the first, for guidance that composes several: `.positive(1)`, `.positive(2)` ...
  public var furtherPrompts: [String] = []
  /// Negative prompts beyond the first: `.negative(1)`, `.negative(2)` ...
  public var furtherNegativePrompts: [String] = []
  /// A name of `SolverCatalogue` or `AdaptiveCatalogue`; nil takes the model's own.
  public var solver: String?
  public var steps: Int
  /// nil takes the spacing of the model's scheduler.
  public var spacing: GridSpacing?
  /// The scale of classifier-free guidance; 1 is none.
  public var guidanceScale: Double
  /// In place of classifier-free guidance of that scale, a guidance of branches of the prompt and the negative prompt,
  /// with or without disturbed layers.
  public var guidance: (any Guidance)?
  public var seed: UInt64
  /// What the seed's noise is.
  public var noise = NoiseKind.fewstep
  /// The relative error, root mean square, that an adaptive solver is to keep to; it has no number of steps.
  public var tolerance = 1e-2
  /// The most evaluations of an image and branch that an adaptive solver may take.
  public var maximumEvaluations = 200
  /// Images 0 ..< count of the seed. Each is the same alone and among others.
  public var count: Int
  /// Width and height in pixels; nil takes the size that the model was trained on.
  public var size: (width: Int, height: Int)?
  /// Latents to start from in place of noise, `[count, height, width, channels]`.
  public var latents: DenseTensor<Float>?
  /// An image to start from, noised to the level that ``strength`` says; every image of the request starts from it. Its
  /// size is the request's.
  public var image: Image?
  /// The noise level that ``image`` is given, as a share of the trained times: more than 0, at most 1. The number of
  /// steps does not depend on it.
  public var strength: Double
  /// The most memory to take, in bytes; a request that needs more is refused before anything is computed.
  public var memoryLimit: Int?
  /// The share of the pixels, 0 to 0.75, that self-attention merges at its finest resolution (arXiv:2303.17604): faster
  /// for large images and not the same image.
  public var tokenMerging: Double?
  /// What is taken over from earlier steps; nil evaluates the denoiser in full at each.
  public var stepCache: StepCache?
  /// The shift of a flow's grid; nil takes the model's own.
  public var shift: Double?

  public init(
    _ prompt: String, negativePrompt: String = "", solver: String? = nil, steps: Int = 20,
    spacing: GridSpacing? = nil, guidanceScale: Double = 7.5, seed: UInt64 = 0, count: Int = 1,
    size: (width: Int, height: Int)? = nil, latents: DenseTensor<Float>? = nil, image: Image? = nil,
    strength: Double = 0.8, shift: Double? = nil, guidance: (any Guidance)? = nil
  ) {
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.solver = solver
    self.steps = steps
    self.spacing = spacing
    self.guidanceScale = guidanceScale
    self.guidance = guidance
    self.seed = seed
    self.count = count
    self.size = size
    self.latents = latents
    self.image = image
    self.strength = strength
    self.shift = shift
  }
}

/// Whose noise a seed stands for.
public enum NoiseKind: String, Hashable, Sendable, CaseIterable {
  /// Fewstep's counter-based field: an image is the same in any number.
  case fewstep
  /// The draws of `torch.Generator().manual_seed(seed)` on the CPU for the whole request, as diffusers' pipelines make
  /// them with one generator.
  case torch

  func source(seed: UInt64, count: Int) -> NoiseSource<DenseTensor<Float>> {
    switch self {
    case .fewstep: .field
    case .torch:
      .torch(TorchNoise(.shared(seed: seed, batch: count))) { DenseTensor($0, shape: $1) }
    }
  }
}

/// What a run tells its caller while it is under way.
public enum GenerationEvent: Sendable {
  /// A part of the prompts that the length limit cuts off.
  case truncated(prompt: String, discarded: String)
  /// A step of the images `images` is done; the states are their latents. Images are counted in the order in which they
  /// are sampled: those of a single request by their indices, those of many requests through all of them.
  case step(SamplingProgress<DenseTensor<Float>>, images: Range<Int>)
  /// An image is ready.
  case image(GeneratedImage)
}

/// An image and what it came from.
public struct GeneratedImage: Sendable {
  /// Which of the requests it belongs to, where there are several.
  public internal(set) var request = 0
  /// Which image of the seed it is.
  public internal(set) var index: Int
  public let image: Image
  /// `[height, width, channels]`, as the sampler left them.
  public let latents: DenseTensor<Float>
  /// What the decoder made of them, `[height, width, 3]`, before clamping to [-1, 1].
  public let pixels: DenseTensor<Float>
  /// What sampling it took; nil for latents that were only decoded.
  public internal(set) var sampling: SamplingResult<DenseTensor<Float>>?
  /// How its evaluations were made, where the request had a step cache.
  public internal(set) var stepCacheCounts: StepCacheCounts?
}

/// Why a model or a request cannot be worked with.
public enum PipelineError: Error, Hashable, Sendable, CustomStringConvertible {
  case unsupportedPipeline(found: String)
  case mismatchedComponents(String)
  case invalidRequest(name: String, found: String, expected: String)
  /// What was generated is no image, as where a format of few bits overflows: image `index` of the request of that
  /// number, both counted from 0.
  case unusableImage(request: Int, index: Int, flaw: ImageFlaw)
  /// In bytes.
  case insufficientMemory(needed: Int, limit: Int)

  public var description: String {
    switch self {
    case .unsupportedPipeline(let found):
      "model_index.json is for \(found), and only StableDiffusionPipeline can be run"
    case .mismatchedComponents(let reason): "the model's components do not fit each other: \(reason)"
    case .invalidRequest(let name, let found, let expected): "\(name) is \(found), expected \(expected)"
    case .unusableImage(let request, let index, let flaw):
      "image \(index) of request \(request) \(flaw): the model cannot be computed like this; another precision may do"
    case .insufficientMemory(let needed, let limit):
      "generating takes \(needed / 1_000_000 + 1) MB of memory, and the limit is \(limit / 1_000_000) MB"
    }
  }
}
