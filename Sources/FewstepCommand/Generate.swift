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

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Scale of classifier-free guidance; 1 is none.", valueName: "scale"))
  var guidance = 7.5

  @Option(parsing: .unconditional, help: "Seed of the noise.")
  var seed: UInt64 = 0

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

  @Flag(help: "Print JSON about the run.")
  var json = false

  /// What --json prints.
  private struct Report: Encodable {
    let prompt: String
    let negativePrompt: String
    let model: String
    let solver: String
    let steps: Int
    let evaluationsPerBranch: Int
    let guidance: Double
    let seed: UInt64
    let width: Int
    let height: Int
    let files: [String]
    let latents: String?
    let discardedText: [String]
    let milliseconds: Milliseconds

    struct Milliseconds: Encodable {
      let loading: Double
      let generating: Double
    }
  }

  func validate() throws {
    for (option, path) in [("--output", output), ("--sheet", sheet)] {
      if let path, !path.lowercased().hasSuffix(".png") {
        throw ValidationError("\(option) \(path) does not end in .png")
      }
    }
  }

  func run() async throws {
    let clock = ContinuousClock()
    let start = clock.now
    let solver = try sampler.entry()
    let pipeline = try TextToImagePipeline(model.folder(for: solver))
    let request = try request(for: pipeline)
    let plan = try pipeline.plan(for: request)
    let loaded = clock.now

    let progress = ProgressReport(steps: plan.stepCount, images: request.count)
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
      try image.image.write(to: url, text: [("parameters", parameters(for: image, request, plan))])
      files.append(url.relativePath)
    }
    if let sheet {
      let parameters = parameters(for: images[0], request, plan)
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
          prompt: prompt, negativePrompt: negative, model: model.name, solver: plan.solver, steps: plan.stepCount,
          evaluationsPerBranch: plan.evaluationCount, guidance: guidance, seed: seed, width: images[0].image.width,
          height: images[0].image.height, files: files, latents: saveLatents, discardedText: discardedText,
          milliseconds: milliseconds))
    } else {
      let each = milliseconds.generating / Double(images.count)
      print("\(plan.solver), \(plan.stepCount) steps, \(String(format: "%.0f", each)) ms per image")
      for file in files { print(file) }
    }
  }

  private func request(for pipeline: TextToImagePipeline) throws -> GenerationRequest {
    let latents = try latents.map { try LatentsFile.read(URL(filePath: $0)) }
    let scale = pipeline.autoencoder.configuration.scale
    return GenerationRequest(
      prompt, negativePrompt: negative, solver: sampler.solver, steps: sampler.steps, spacing: try sampler.spacing(),
      guidanceScale: guidance, seed: seed, count: count ?? latents?.shape[0] ?? 1,
      size: size.map { ($0.width, $0.height) } ?? latents.map { ($0.shape[2] * scale, $0.shape[1] * scale) },
      latents: latents, image: try image.map { try Image(png: Data(contentsOf: URL(filePath: $0))) },
      strength: strength,
      shift: sampler.shift)
  }

  private func outputURL(for index: Int, of count: Int) -> URL {
    guard count > 1 else { return URL(filePath: output) }
    return URL(filePath: "\(output.dropLast(4))-\(index)\(output.suffix(4))")
  }

  /// The text that other tools read, in the form that stable-diffusion-webui gave it.
  private func parameters(for image: GeneratedImage, _ request: GenerationRequest, _ plan: SamplingPlan) -> String {
    var text = prompt
    if !negative.isEmpty { text += "\nNegative prompt: \(negative)" }
    var fields = ["Steps: \(plan.stepCount)", "Sampler: \(plan.solver)"]
    if let grid = request.spacing { fields.append("Schedule type: \(grid.rawValue)") }
    fields += ["CFG scale: \(guidance)", "Seed: \(seed)"]
    if request.count > 1 { fields.append("Image: \(image.index)") }
    fields += [
      "Size: \(image.image.width)x\(image.image.height)", "Model: \(model.name)", "Version: fewstep \(fewstepVersion)",
    ]
    return text + "\n" + fields.joined(separator: ", ")
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
