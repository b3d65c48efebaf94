import Fewstep
import Foundation
import GlyphEvaluation
import Glyphs

/// One way to generate, which is measured as a whole.
struct Setting: Sendable {
  /// Settings of one series differ in the number of steps alone.
  let series: String
  let choices: Preset
  /// How much fewer images it is measured on.
  var thinning = 1

  init(_ series: String, _ choices: Preset, thinning: Int = 1) {
    self.series = series
    self.choices = choices
    self.thinning = thinning
  }

  init(
    _ series: String, solver: String, steps: Int, spacing: GridSpacing? = nil, precision: Precision = .float32,
    thinning: Int = 1
  ) {
    self.init(
      series,
      Preset(
        name: "\(series) \(steps)", solver: solver, steps: steps, spacing: spacing, precision: precision),
      thinning: thinning)
  }

  static let presets = Preset.all.map { Setting("preset", $0, thinning: $0 == .research ? 8 : 1) }

  /// What the plots of quality against time show beside the presets.
  static var plotted: [Setting] {
    func solver(_ steps: Int, _ precision: Precision = .float32) -> Setting {
      let suffix = precision == .float32 ? "" : " \(precision.rawValue)"
      return Setting(
        "DPM-Solver++ 2M\(suffix)", solver: "dpm++2m", steps: steps, spacing: .karras, precision: precision)
    }
    return [5, 8, 10, 15, 20, 30].map { solver($0) } + [8, 10, 20].map { solver($0, .half) }
      + [8, 10, 20].map { solver($0, .int8) }
      + [10, 20, 50].map { Setting("DDIM", solver: "ddim", steps: $0) }
      + [4, 10, 20].map { Setting("flow Euler", solver: "flow-euler", steps: $0, spacing: .trailing) }
  }
}

/// What a setting costs and gives.
struct Measurement: Encodable, Sendable {
  let name: String
  let series: String
  let solver: String
  let steps: Int
  let precision: String
  let batchSize: Int
  /// Of an image, one branch of guidance counted.
  let evaluations: Int
  let millisecondsPerImage: Double
  let weightBytes: Int
  /// With the weights; as known beforehand, and as the system saw it where it tells.
  let plannedPeakBytes: Int
  let peakBytes: Int?
  /// To the converged image of the same seed, in single precision; nil for samplers that add noise of their own.
  let quality: ImageComparison?
  /// To the image of the same sampler and seed in single precision: what the precision alone costs. nil for that
  /// itself.
  let precisionPSNR: Double?
  let scores: GlyphScores

  var imagesPerSecond: Double { 1000 / millisecondsPerImage }
}

/// Measures settings with the pipeline that users have: many prompts, each with a seed of its own.
final class SettingBench {
  /// Steps of the converged images: at a fifth of this, the error of a second-order solver is below that of 8 bits.
  static let convergedSteps = 200

  let bench: Workbench
  let images: Int
  private var pipelines: [String: TextToImagePipeline] = [:]
  private var converged: [SolverEntry.Family: [Image]] = [:]
  private var measured: [String: Measurement] = [:]

  init(bench: Workbench, images: Int) {
    self.bench = bench
    self.images = images
  }

  /// The bundled model for a solver, loaded once for each precision.
  func pipeline(_ choices: Preset) throws -> TextToImagePipeline {
    let family = try family(of: choices)
    let key = "\(family) \(choices.precision)"
    var pipeline =
      try pipelines[key]
      ?? TextToImagePipeline(family == .flow ? Glyphs.flow() : Glyphs.epsilon(), precision: choices.precision)
    pipelines[key] = pipeline
    pipeline.batchSize = choices.batchSize
    return pipeline
  }

  private func family(of choices: Preset) throws -> SolverEntry.Family {
    try choices.solver.map { try SolverCatalogue.entry(named: $0).family } ?? .diffusion
  }

  /// One request for each prompt, at the guidance scale of all tables.
  func requests(_ choices: Preset, count: Int) -> [GenerationRequest] {
    bench.prompts.prefix(count).enumerated().map { number, prompt in
      GenerationRequest(
        prompt.text, preset: choices, guidanceScale: SamplerTable.scale, seed: Workbench.seed + UInt64(number))
    }
  }

  func generate(_ choices: Preset, count: Int, label: String) async throws -> [GeneratedImage] {
    let pipeline = try pipeline(choices)
    let progress = Progress(label, of: count)
    let results = try await pipeline.generate(requests(choices, count: count)) { event in
      if case .step(let step, let range) = event {
        progress.update(Double(range.lowerBound) + Double(step.step * range.count) / Double(choices.steps))
      }
    }
    progress.finish()
    return results.flatMap { $0 }
  }

  /// A setting's figures, measured the first time that they are asked for.
  func measure(_ setting: Setting) async throws -> Measurement {
    let choices = setting.choices
    if let known = measured[choices.name] { return known }
    let count = max(1, images / setting.thinning)
    let pipeline = try pipeline(choices)
    let requests = requests(choices, count: count)
    let sampler = try pipeline.sampler(for: requests[0])
    // Warms up, and is enough for the peak: two batches overlap.
    var short = choices
    short.steps = min(choices.steps, 2)
    let few = self.requests(short, count: 2 * choices.batchSize)
    let memory = try pipeline.memory(for: few)
    let peak = try await growth { _ = try await pipeline.generate(few) }
    var results: [GeneratedImage] = []
    let milliseconds = try await Timing.milliseconds {
      results = try await generate(choices, count: count, label: choices.name)
    }
    var isStochastic = true
    if case .plan(let plan) = sampler { isStochastic = plan.isStochastic }
    let pictures = results.map(\.image)
    let references = isStochastic ? nil : Array(try await convergedImages(family(of: choices)).prefix(count))
    var inFloats = choices
    inFloats.precision = .float32
    let floats =
      choices.precision == .float32
      ? nil : try await generate(inFloats, count: count, label: "\(choices.name) in float32").map(\.image)
    let result = Measurement(
      name: choices.name, series: setting.series, solver: sampler.solver, steps: choices.steps,
      precision: choices.precision.rawValue, batchSize: choices.batchSize, evaluations: sampler.evaluationCount ?? 0,
      millisecondsPerImage: milliseconds / Double(count), weightBytes: memory.weights,
      plannedPeakBytes: memory.peak, peakBytes: peak.map { $0 + memory.weights },
      quality: references.map { ImageComparison(pictures, with: $0) },
      precisionPSNR: floats.map { ImageComparison(pictures, with: $0).psnr },
      scores: try bench.scores(of: results.map(\.pixels), prompts: Array(bench.prompts.prefix(count))))
    measured[choices.name] = result
    return result
  }

  private func convergedImages(_ family: SolverEntry.Family) async throws -> [Image] {
    if let known = converged[family] { return known }
    let choices = Preset(
      name: "converged", solver: family == .flow ? "flow-midpoint" : "dpm++2m",
      steps: family == .flow ? Self.convergedSteps / 2 : Self.convergedSteps,
      spacing: family == .flow ? .trailing : .karras, guidanceScale: SamplerTable.scale)
    let images = try await generate(choices, count: images, label: "converged \(family.rawValue) images").map(\.image)
    converged[family] = images
    return images
  }

  /// The most bytes resident during `job` beyond those before; nil where the system does not tell.
  private func growth(_ job: () async throws -> Void) async rethrows -> Int? {
    let isTold = ProcessMemory.resetPeak()
    let before = ProcessMemory.peak
    try await job()
    guard isTold, let before, let peak = ProcessMemory.peak else { return nil }
    return peak - before
  }
}
