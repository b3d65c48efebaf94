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
  let psnr: Double?
  let ssim: Double?
  /// To the image of the same sampler and seed in single precision: what the precision alone costs. nil for that itself.
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
    let start = ContinuousClock.now
    let results = try await generate(choices, count: count, label: choices.name)
    let seconds = (ContinuousClock.now - start) / .seconds(1)

    var isStochastic = true
    if case .plan(let plan) = sampler { isStochastic = plan.isStochastic }
    let pictures = results.map(\.image)
    let references = isStochastic ? nil : Array(try await convergedImages(family(of: choices)).prefix(count))
    var inFloats = choices
    inFloats.precision = .float32
    let floats =
      choices.precision == .float32
      ? nil : try await generate(inFloats, count: count, label: "\(choices.name) in float32").map(\.image)
    var batch = Workbench.Batch()
    batch.pixels = results.map(\.pixels)
    let result = Measurement(
      name: choices.name, series: setting.series, solver: sampler.solver, steps: choices.steps,
      precision: choices.precision.rawValue, batchSize: choices.batchSize, evaluations: sampler.evaluationCount ?? 0,
      millisecondsPerImage: 1000 * seconds / Double(count), weightBytes: memory.weights,
      plannedPeakBytes: memory.peak, peakBytes: peak.map { $0 + memory.weights },
      psnr: references.map { Self.psnr(pictures, $0) },
      ssim: references.map { zip(pictures, $0).reduce(0) { $0 + $1.0.ssim(to: $1.1) } / Double(count) },
      precisionPSNR: floats.map { Self.psnr(pictures, $0) },
      scores: try bench.scores(of: batch, prompts: Array(bench.prompts.prefix(count))))
    measured[choices.name] = result
    return result
  }

  /// Of the mean of the squared differences, since a single pair of equal images would make the mean of decibels infinite.
  private static func psnr(_ images: [Image], _ others: [Image]) -> Double {
    let squares = zip(images, others).reduce(0) { $0 + pow(10, -$1.0.psnr(to: $1.1) / 10) }
    return -10 * log10(squares / Double(images.count))
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

  /// How many times faster `job` is than `baseline`: the median over rounds in which one follows the other, since the
  /// machine may be busy with other things.
  static func speedup(
    rounds: Int = 7, of job: () async throws -> Void, over baseline: () async throws -> Void
  ) async rethrows -> Double {
    try await baseline()
    try await job()
    var ratios: [Double] = []
    for round in 0..<rounds {
      func time(_ body: () async throws -> Void) async rethrows -> Double {
        let start = ContinuousClock.now
        try await body()
        return (ContinuousClock.now - start) / .seconds(1)
      }
      // In turns the first, so that neither always finds the other's caches.
      if round.isMultiple(of: 2) {
        let slow = try await time(baseline)
        ratios.append(slow / (try await time(job)))
      } else {
        let fast = try await time(job)
        ratios.append(try await time(baseline) / fast)
      }
    }
    return ratios.sorted()[rounds / 2]
  }
}
