import ArgumentParser
import Fewstep
import Foundation

struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Generate images from a prompt.",
    discussion: """
      Without --model the bundled model is used, which draws letters and digits:

        fewstep generate "a bold red letter A on a white background, serif"

      Every PNG file carries the parameters it was made with.
      """)

  @Argument(help: "What the images shall show.")
  var prompt: String

  @Option(help: ArgumentHelp("What they shall not show.", valueName: "text"))
  var negative = ""

  @OptionGroup var sampler: SamplerOptions

  @OptionGroup var guidance: GuidanceOptions

  @Option(parsing: .unconditional, help: "Seed of the noise.")
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp(
      "Whose noise the seed is: fewstep's, or torch's, for the image of torch.manual_seed.", valueName: "fewstep|torch")
  )
  var noise = NoiseKind.fewstep

  @Option(parsing: .unconditional, help: "Number of images; image i of a seed is the same in any number. Default: 1.")
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
      "What the networks compute with: \(Precision.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "format"))
  var precision = Precision.float32

  @Option(
    help: ArgumentHelp(
      "Take work over from earlier steps, which is not exact: deepcache:3, firstblock:0.1, taylor:2 ... A third part is "
        + "the depth of the first two and the order of the last.",
      valueName: "name:number"))
  var stepCache: StepCache?

  @Option(help: ArgumentHelp("Refuse to take more memory than this, such as 800M or 1.5G.", valueName: "size"))
  var maxMemory: ByteCount?

  @Flag(help: "Print JSON about the run.")
  var json = false

  /// What --json prints.
  private struct Report: Encodable {
    let prompt: String
    let negativePrompt: String
    let model: String
    let solver: String
    /// Absent for adaptive solvers.
    let steps: Int?
    /// Of each image, all branches of guidance counted.
    let evaluations: [Int]
    /// How those of each image were made, with --step-cache.
    let stepCache: [StepCacheCounts]?
    let promptCache: CacheStatistics
    let guidanceMethod: String
    let guidance: Double
    let seed: UInt64
    let width: Int
    let height: Int
    let files: [String]
    let latents: String?
    let discardedText: [String]
    let precision: String
    /// Bytes, as planned.
    let memory: Int
    let milliseconds: Milliseconds

    struct Milliseconds: Encodable {
      let loading: Double
      let generating: Double
    }
  }

  func validate() throws {
    if let solver = sampler.solver, solver.lowercased().hasSuffix("cfg++") != (guidance.method == .cfgPlusPlus) {
      throw ValidationError(
        "--guidance-method cfg++ with a scale of 0 to 1 belongs to the solvers whose names end in cfg++, "
          + "and \(solver) was asked for with \(guidance.method.rawValue)")
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
    let pipeline = try TextToImagePipeline(model.folder(for: sampler.family()), precision: precision)
    let request = try request(for: pipeline)
    let sampling = try pipeline.sampler(for: request)
    let loaded = clock.now

    let memory = try pipeline.memory(for: request).peak

    let progress = ProgressReport(steps: sampling.stepCount, images: request.count)
    var discardedText: [String] = []
    let images = try await pipeline.generate(request) { event in
      switch event {
      case .truncated(let prompt, let discarded):
        discardedText.append(discarded)
        progress.note("the end of \"\(prompt)\" is beyond the model's length limit: \"\(discarded)\"")
      case .step(let step, let images):
        progress.update(step: step.step, images: images)
      case .image: break
      }
    }
    progress.finish()
    let finished = clock.now

    var files: [String] = []
    for image in images {
      let url = outputURL(for: image.index, of: images.count)
      try image.image.write(to: url, text: [("parameters", parameters(for: image, request, sampling))])
      files.append(url.relativePath)
    }
    if let sheet {
      let parameters = parameters(for: images[0], request, sampling)
      try Image.tiled(images.map(\.image), columns: 8).write(
        to: URL(filePath: sheet), text: [("parameters", parameters)])
      files.append(sheet)
    }
    if let saveLatents {
      try LatentsFile.write(images.map(\.latents), to: URL(filePath: saveLatents), prompt: prompt)
    }
    let milliseconds = Report.Milliseconds(
      loading: (loaded - start) / .milliseconds(1), generating: (finished - loaded) / .milliseconds(1))
    if json {
      try printJSON(
        Report(
          prompt: prompt, negativePrompt: negative, model: model.name, solver: sampling.solver,
          steps: sampling.stepCount,
          evaluations: images.map { $0.sampling?.evaluations ?? 0 },
          stepCache: stepCache.map { _ in images.compactMap(\.stepCacheCounts) },
          promptCache: pipeline.caches.prompts.statistics, guidanceMethod: guidance.method.rawValue,
          guidance: guidance.scale, seed: seed, width: images[0].image.width,
          height: images[0].image.height, files: files, latents: saveLatents, discardedText: discardedText,
          precision: precision.rawValue, memory: memory, milliseconds: milliseconds))
    } else {
      let each = milliseconds.generating / Double(images.count)
      let evaluations = Set(images.compactMap { $0.sampling?.evaluations }).sorted()
      let counts =
        evaluations.count > 1 ? "\(evaluations[0]) to \(evaluations[evaluations.count - 1])" : "\(evaluations[0])"
      let steps = sampling.stepCount.map { "\($0) steps, " } ?? ""
      print(
        "\(sampling.solver), \(steps)\(counts) evaluations, \(String(format: "%.0f", each)) ms per image, "
          + "\(ByteCount(memory)) of memory")
      for file in files { print(file) }
    }
  }

  private func request(for pipeline: TextToImagePipeline) throws -> GenerationRequest {
    let latents = try latents.map { try LatentsFile.read(URL(filePath: $0)) }
    let scale = pipeline.autoencoder.configuration.scale
    var request = GenerationRequest(
      prompt, negativePrompt: negative, solver: sampler.solver, steps: sampler.steps, spacing: try sampler.spacing(),
      guidanceScale: guidance.scale, seed: seed, count: count ?? latents?.shape[0] ?? 1,
      size: size.map { ($0.width, $0.height) } ?? latents.map { ($0.shape[2] * scale, $0.shape[1] * scale) },
      latents: latents, image: try image.map { try Image(png: Data(contentsOf: URL(filePath: $0))) },
      strength: strength, shift: sampler.shift, guidance: try guidance.guidance())
    request.noise = noise
    request.memoryLimit = maxMemory?.bytes
    request.stepCache = stepCache
    request.tolerance = sampler.tolerance
    request.maximumEvaluations = sampler.maximumEvaluations
    return request
  }

  private func outputURL(for index: Int, of count: Int) -> URL {
    guard count > 1 else { return URL(filePath: output) }
    return URL(filePath: "\(output.dropLast(4))-\(index)\(output.suffix(4))")
  }

  /// The text that other tools read, in the form that stable-diffusion-webui gave it.
  private func parameters(for image: GeneratedImage, _ request: GenerationRequest, _ sampling: Sampler) -> String {
    var text = prompt
    if !negative.isEmpty { text += "\nNegative prompt: \(negative)" }
    var fields = sampling.stepCount.map { ["Steps: \($0)"] } ?? ["Tolerance: \(request.tolerance)"]
    fields.append("Sampler: \(sampling.solver)")
    if let grid = request.spacing { fields.append("Schedule type: \(grid.rawValue)") }
    fields += ["CFG scale: \(guidance.scale)", "Seed: \(seed)"]
    if guidance.method != .cfg { fields.append("Guidance: \(guidance.method.rawValue)") }
    if precision != .float32 { fields.append("Precision: \(precision.rawValue)") }
    if let stepCache { fields.append("Step cache: \(stepCache)") }
    if noise != .fewstep { fields.append("RNG: \(noise.rawValue)") }
    if request.count > 1 { fields.append("Image: \(image.index)") }
    fields += [
      "Size: \(image.image.width)x\(image.image.height)", "Model: \(model.name)", "Version: fewstep \(fewstepVersion)",
    ]
    return text + "\n" + fields.joined(separator: ", ")
  }
}

extension NoiseKind: ExpressibleByArgument {}
extension StepCache: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}

/// An amount of memory: bytes, or thousands, millions and thousand millions of them with K, M or G.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) {
    self.bytes = bytes
  }

  init?(argument: String) {
    let factors: [Character: Double] = ["K": 1e3, "M": 1e6, "G": 1e9]
    let factor = argument.uppercased().last.flatMap { factors[$0] }
    guard let number = Double(factor == nil ? argument[...] : argument.dropLast()) else { return nil }
    let bytes = number * (factor ?? 1)
    guard bytes >= 0, bytes < 1e18 else { return nil }
    self.bytes = Int(bytes)
  }

  var description: String {
    bytes < 1_000_000_000 ? "\((bytes + 999_999) / 1_000_000) MB" : String(format: "%.2f GB", Double(bytes) / 1e9)
  }
}

/// A size such as 512x512.
struct PixelSize: ExpressibleByArgument {
  let width: Int
  let height: Int

  init?(argument: String) {
    let sides = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1] else { return nil }
    self.width = width
    self.height = height
  }
}
