import ArgumentParser
import Fewstep
import Foundation

struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Generate images from prompts.",
    discussion: """
      Without --model the bundled model is used, which draws letters and digits:

        fewstep generate "a bold red letter A on a white background, serif"

      A preset chooses solver, steps, grid, precision and batch size; options beside it override its choices:

      \(Preset.all.map(\.line).joined(separator: "\n"))

      Every PNG file carries the parameters it was made with.
      """)

  @Argument(help: "What the images should show.")
  var prompts: [String] = []

  @Option(
    name: .customLong("prompts"), help: ArgumentHelp("Read more prompts from this file, one a line.", valueName: "file")
  )
  var promptFile: String?

  @Option(
    help: ArgumentHelp(
      "Choices that go together: \(Preset.all.map(\.name).joined(separator: ", ")).", valueName: "name"))
  var preset: Preset?

  @Option(help: ArgumentHelp("What they should not show.", valueName: "text"))
  var negative = ""

  @OptionGroup var sampler: SamplerOptions

  @OptionGroup var adaptive: AdaptiveOptions

  @OptionGroup var guidance: GuidanceOptions

  @Option(parsing: .unconditional, help: "Seed of the noise.")
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp(
      "Whose noise the seed is: torch's gives the image of torch.manual_seed.", valueName: "name"))
  var noise = NoiseKind.fewstep

  @Option(
    parsing: .unconditional,
    help: "Images of each prompt; those of a seed are the same however many there are. Default: 1.")
  var count: Int?

  @Option(help: ArgumentHelp("Size in pixels. Default: the model's.", valueName: "WxH"))
  var size: PixelSize?

  @Option(help: ArgumentHelp("PNG file; several images get -0, -1 ... before the suffix.", valueName: "file.png"))
  var output = "fewstep.png"

  @Option(help: ArgumentHelp("Also write all images as one, in rows of eight.", valueName: "file.png"))
  var sheet: String?

  @Option(help: ArgumentHelp("Start from these latents (NCHW) instead of noise.", valueName: "file.safetensors"))
  var latents: String?

  @Option(help: ArgumentHelp("Write the final latents (NCHW).", valueName: "file.safetensors"))
  var saveLatents: String?

  @Option(help: ArgumentHelp("Start from this image, noised to the strength.", valueName: "file.png"))
  var image: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Noise level that --image is given, as a share of the trained times: more than 0, at most 1.",
      valueName: "number"))
  var strength = 0.8

  @OptionGroup var model: ModelOption

  @Option(
    help: ArgumentHelp(
      "What the networks compute with. Default: the preset's, or what the model is stored for, or fp32.",
      valueName: "format"))
  var precision: Precision?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "First generate up to four of the prompts in fp32 too, and refuse a format whose images have a lower PSNR to those.",
      valueName: "dB"))
  var checkQuality: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Share of the pixels that self-attention merges at its finest resolution, 0 to 0.75.", valueName: "share"))
  var tokenMerging: Double?

  @Option(
    help: ArgumentHelp(
      "Take work over from earlier steps, which is not exact: deepcache:3, firstblock:0.1, taylor:2 ... A third part is "
        + "the depth of the first two and the order of the last.",
      valueName: "name:number"))
  var stepCache: StepCache?

  @Option(help: ArgumentHelp("Refuse to take more memory than this, such as 800M or 1.5G.", valueName: "size"))
  var maxMemory: ByteCount?

  @Option(
    help: ArgumentHelp(
      "Keep all networks in memory, or each only while it is needed, with the same images. Default: resident, or staged "
        + "where --max-memory leaves no room for that.",
      valueName: "name"))
  var residency: Residency?

  @Flag(help: "Print JSON about the run.")
  var json = false

  func validate() throws {
    guard !prompts.isEmpty || promptFile != nil else {
      throw ValidationError("there is no prompt: expected one or more, or --prompts with a file of them")
    }
    if latents != nil, prompts.count > 1 || promptFile != nil {
      throw ValidationError("--latents are those of one prompt's images, and there are several prompts")
    }
    try sampler.solver.map(guidance.checkSolver)
    if let solver = sampler.solver, (try? AdaptiveCatalogue.entry(named: solver)) != nil {
      let given = [
        ("--steps", sampler.steps != nil), ("--grid", sampler.grid != nil), ("--shift", sampler.shift != nil),
      ]
      if let (option, _) = given.first(where: \.1) {
        throw ValidationError("\(option): \(solver) chooses its steps by --rtol and has no use for it")
      }
    }
    for (option, path) in [("--output", output), ("--sheet", sheet)] {
      if let path, !path.lowercased().hasSuffix(".png") {
        throw ValidationError("\(option) \(path) does not end in .png")
      }
    }
  }

  func run() async throws {
    let clock = ContinuousClock()
    let start = clock.now
    let pipeline = try pipeline()
    let requests = try requests(for: pipeline)
    let sampling = try pipeline.sampler(for: requests[0])
    try guidance.checkSolver(sampling.solver)
    let memory = try pipeline.memory(for: requests)
    let quality = try await checkedQuality(of: pipeline, requests)
    let loaded = clock.now

    let total = requests.reduce(0) { $0 + $1.count }
    let progress = ProgressReport(steps: sampling.stepCount, images: total)
    var discardedText: [String] = []
    var files: [String] = []
    let results = try await pipeline.generate(requests) { event in
      switch event {
      case .truncated(let prompt, let discarded):
        discardedText.append(discarded)
        progress.note("the end of \"\(prompt)\" is beyond the model's length limit: \"\(discarded)\"")
      case .step(let step, let images):
        progress.update(step: step.step, images: images)
      case .image(let image):
        // Written at once, so that a long run that is stopped leaves what it had.
        let request = requests[image.request]
        let url = outputURL(for: image.request * request.count + image.index, of: total)
        try image.image.write(
          to: url, text: [("parameters", parameters(for: image, request, sampling, pipeline.precision))])
        files.append(url.relativePath)
      }
    }
    progress.finish()
    let finished = clock.now

    let images = results.flatMap { $0 }
    if let sheet {
      let parameters = parameters(for: images[0], requests[0], sampling, pipeline.precision)
      try Image.tiled(images.map(\.image), columns: 8).write(
        to: URL(filePath: sheet), text: [("parameters", parameters)])
      files.append(sheet)
    }
    if let saveLatents {
      try LatentsFile.write(images.map(\.latents), to: URL(filePath: saveLatents), prompt: requests[0].prompt)
    }
    let report = GenerationReport(
      prompt: requests.count == 1 ? requests[0].prompt : nil,
      prompts: requests.count == 1 ? nil : requests.map(\.prompt), negativePrompt: negative, model: model.name,
      preset: preset?.name, solver: sampling.solver, steps: sampling.stepCount,
      evaluations: images.map { $0.sampling?.evaluations ?? 0 },
      stepCache: stepCache.map { _ in images.compactMap(\.stepCacheCounts) },
      promptCache: pipeline.caches.prompts.statistics, guidanceMethod: guidance.method.rawValue,
      guidance: requests[0].guidanceScale, seed: seed, width: images[0].image.width, height: images[0].image.height,
      files: files, latents: saveLatents, discardedText: discardedText, precision: pipeline.precision.rawValue,
      memory: memory.peak, residency: memory.residency.rawValue, residentMemory: ProcessMemory.peak,
      qualityPSNR: quality?.psnr,
      milliseconds: .init(
        loading: (loaded - start) / .milliseconds(1), generating: (finished - loaded) / .milliseconds(1)))
    if json { try printJSON(report) } else { print(report) }
  }

  /// nil where no check is asked for; single precision has none to pass.
  private func checkedQuality(
    of pipeline: TextToImagePipeline, _ requests: [GenerationRequest]
  ) async throws -> ImageComparison? {
    guard let checkQuality, pipeline.precision != .float32 else { return nil }
    var gate = QualityGate()
    gate.requiredPSNR = checkQuality
    gate.prompts = requests.prefix(4).map(\.prompt)
    gate.seed = seed
    gate.template = requests[0]
    gate.template.latents = nil
    return try await gate.check(pipeline, of: model.folder(for: sampler.family()))
  }

  private func pipeline() throws -> TextToImagePipeline {
    let folder = try model.folder(for: sampler.family())
    func read(_ residency: Residency) throws -> TextToImagePipeline {
      var pipeline = try TextToImagePipeline(
        folder, precision: precision ?? preset?.precision, residency: residency)
      if let preset { pipeline.batchSize = preset.batchSize }
      return pipeline
    }
    guard residency != .resident, let maxMemory else { return try read(residency ?? .resident) }
    var staged = try read(.staged)
    let requests = try requests(for: staged)
    if residency == nil, try staged.memory(for: requests, residency: .resident).peak <= maxMemory.bytes {
      return try read(.resident)
    }
    if try staged.memory(for: requests).peak > maxMemory.bytes { staged.evaluationSize = 1 }
    return staged
  }

  /// One for each prompt.
  private func requests(for pipeline: TextToImagePipeline) throws -> [GenerationRequest] {
    let latents = try latents.map { try LatentsFile.read(URL(filePath: $0)) }
    let scale = pipeline.autoencoderConfiguration.scale
    var request = GenerationRequest(
      "", preset: preset ?? Preset(name: "none"), negativePrompt: negative, solver: sampler.solver,
      steps: sampler.steps,
      spacing: try sampler.spacing(), guidanceScale: guidance.scale, seed: seed,
      count: count ?? latents?.shape[0] ?? 1,
      size: size.map { ($0.width, $0.height) } ?? latents.map { ($0.shape[2] * scale, $0.shape[1] * scale) })
    request.guidance = try guidance.guidance(
      scale: request.guidanceScale, prediction: pipeline.scheduler.prediction)
    request.latents = latents
    request.image = try image.map(InputFile.image)
    request.strength = strength
    request.shift = sampler.shift
    request.noise = noise
    request.memoryLimit = maxMemory?.bytes
    request.tokenMerging = tokenMerging
    request.stepCache = stepCache
    request.tolerance = adaptive.tolerance
    request.maximumEvaluations = adaptive.maximumEvaluations
    return try allPrompts().map { prompt in
      var own = request
      own.prompt = prompt
      return own
    }
  }

  /// Those given, then those of the file.
  private func allPrompts() throws -> [String] {
    try prompts + (promptFile.map(InputFile.prompts) ?? [])
  }

  private func outputURL(for number: Int, of count: Int) -> URL {
    guard count > 1 else { return URL(filePath: output) }
    return URL(filePath: "\(output.dropLast(4))-\(number)\(output.suffix(4))")
  }
}
