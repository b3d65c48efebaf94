import DenseTensors
import Networks
import Sampling
import Tensors

/// Requests whose images can go through the denoiser side by side, and what they have in common.
struct RequestGroup {
  let sampler: Sampler
  let guidance: any Guidance
  /// Of one image's latents.
  let shape: Shape
  let noise: NoiseSource<DenseTensor<Float>>
  /// What all of the group's images start from, and its latents once it is encoded.
  let source: Image?
  var picture: DenseTensor<Float>?
  /// What each image starts from in place of noise, `[count, height, width, channels]`.
  let latents: DenseTensor<Float>?
  /// As ``GenerationRequest/tokenMerging``.
  let tokenMerging: Double
  let stepCache: StepCache?
  /// Indices of the requests.
  var members: [Int]
  /// In the order of the members.
  var images: [ImageID] = []

  /// One image of many requests.
  struct ImageID: Hashable {
    let request: Int
    let index: Int
  }

  /// What a batch starts from.
  func start(of batch: some Collection<ImageID>) -> SamplingStart<DenseTensor<Float>> {
    if let picture { return .images(batch.map { _ in picture }) }
    if let latents { return .unitVariance(batch.map { latents[outer: $0.index] }) }
    return .noise
  }
}

/// Requests that agree in these share batches; each of their images is the same bits as alone.
private struct SharedOptions: Hashable {
  let solver: String?
  let steps: Int
  let spacing: GridSpacing?
  let shift: Double?
  let tolerance: Double
  let maximumEvaluations: Int
  /// The request's own, or the scale of classifier-free guidance.
  let guidance: AnyHashable
  let tokenMerging: Double?
  let stepCache: StepCache?
  let shape: Shape

  /// nil for a request that starts from tensors, whose noise is drawn in sequence, or whose guidance cannot be
  /// compared.
  init?(_ request: GenerationRequest, shape: Shape) {
    guard request.image == nil, request.latents == nil, request.noise == .fewstep else { return nil }
    if let own = request.guidance {
      guard let own = own as? any Hashable else { return nil }
      guidance = AnyHashable(own)
    } else {
      guidance = AnyHashable(request.guidanceScale)
    }
    solver = request.solver
    steps = request.steps
    spacing = request.spacing
    shift = request.shift
    tolerance = request.tolerance
    maximumEvaluations = request.maximumEvaluations
    tokenMerging = request.tokenMerging
    stepCache = request.stepCache
    self.shape = shape
  }
}

/// How many prompts a request has.
struct PromptCounts: Hashable {
  let positive: Int
  let negative: Int

  init(_ texts: (negative: [String], positive: [String])) {
    (positive, negative) = (texts.positive.count, texts.negative.count)
  }
}

extension TextToImagePipeline {
  /// Checks requests and groups them, in the order in which the groups first appear.
  ///
  /// - Throws: `SamplingError` and ``PipelineError`` for requests that cannot be met.
  func groups(of requests: [GenerationRequest]) throws -> [RequestGroup] {
    try checkBatchSize()
    var groups: [RequestGroup] = []
    var known: [SharedOptions: Int] = [:]
    for (number, request) in requests.enumerated() {
      guard (1...1 << 20).contains(request.count) else {
        throw PipelineError.invalidRequest(name: "the count", found: "\(request.count)", expected: "1 to \(1 << 20)")
      }
      if let share = request.tokenMerging, !(0...0.75).contains(share) {
        throw PipelineError.invalidRequest(name: "the token merging", found: "\(share)", expected: "0 to 0.75")
      }
      if let stepCache = request.stepCache {
        try stepCache.check(for: denoiserSlot.outline)
        if let share = request.tokenMerging, share > 0 {
          throw PipelineError.invalidRequest(
            name: "the token merging", found: "\(share) with a step cache", expected: "one of the two")
        }
      }
      let shape = try latentShape(size: request.image.map { ($0.width, $0.height) } ?? request.size)
      let shared = SharedOptions(request, shape: shape)
      let place = try shared.flatMap { known[$0] } ?? append(try group(of: request, shape: shape), to: &groups)
      if let shared { known[shared] = place }
      groups[place].members.append(number)
      groups[place].images += (0..<request.count).map { .init(request: number, index: $0) }
    }
    return groups
  }

  func checkBatchSize() throws(PipelineError) {
    guard batchSize > 0 else {
      throw .invalidRequest(name: "the pipeline's batch size", found: "\(batchSize)", expected: "1 or more")
    }
  }

  private func append(_ group: RequestGroup, to groups: inout [RequestGroup]) -> Int {
    groups.append(group)
    return groups.count - 1
  }

  private func group(of request: GenerationRequest, shape: Shape) throws -> RequestGroup {
    let sampler = try sampler(for: request)
    let classifierFree = try ClassifierFreeGuidance(scale: request.guidanceScale)
    try checkSource(of: request)
    if let latents = request.latents, latents.shape != Shape([request.count] + shape.dimensions) {
      throw PipelineError.invalidRequest(
        name: "the latents' shape", found: "\(latents.shape)", expected: "\([request.count] + shape.dimensions)")
    }
    return RequestGroup(
      sampler: sampler, guidance: request.guidance ?? classifierFree, shape: shape,
      noise: request.noise.source(seed: request.seed, count: request.count), source: request.image,
      latents: request.latents, tokenMerging: request.tokenMerging ?? 0, stepCache: request.stepCache,
      members: [])
  }

  /// Refuses an image to start from that does not fit the rest of the request.
  private func checkSource(of request: GenerationRequest) throws(PipelineError) {
    guard let image = request.image else { return }
    guard request.latents == nil else {
      throw .invalidRequest(name: "the start", found: "an image and latents", expected: "one of them")
    }
    if let size = request.size, size != (image.width, image.height) {
      throw .invalidRequest(
        name: "the image", found: "\(image.width)x\(image.height)", expected: "\(size.width)x\(size.height)")
    }
  }

  /// The prompts of a request, negative ones first.
  func texts(of request: GenerationRequest) -> (negative: [String], positive: [String]) {
    let negative = request.negativePrompt.isEmpty ? defaultNegativePrompt : request.negativePrompt
    return ([negative] + request.furtherNegativePrompts, [request.prompt] + request.furtherPrompts)
  }

  /// All texts of requests, as often as they come.
  func allTexts(of requests: [GenerationRequest]) -> [String] {
    requests.map(texts).flatMap { $0.negative + $0.positive }
  }

  /// The denoiser's view of the prompts of each request.
  ///
  /// - Parameter encoded: of all their texts; what several have in common is prepared once.
  func prompts(
    of requests: [GenerationRequest], from encoded: [PipelineCaches.PromptKey: EncodedText],
    with model: UNet2DConditionModel
  ) -> [Prompts] {
    let texts = requests.map(texts)
    var rest = prepared(allTexts(of: requests), from: encoded, with: model)[...]
    func next(_ count: Int) -> [UNet2DConditionModel.Prompt] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    return texts.map {
      let negative = next($0.negative.count)
      return Prompts(positive: next($0.positive.count), negative: negative)
    }
  }
}
