import ArgumentParser
import Fewstep
import GlyphEvaluation

/// What step caches save and what they cost in quality.
struct Caching: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Speed and quality of step caches on the bundled model.",
    discussion: """
      DDIM with 50 steps and guidance 7.5, the prompts of Tools/train-glyphs/EVALUATION.md. PSNR and SSIM are between the \
      pictures of the same seed with and without the cache. Times are the shortest of several runs in turns.
      """)

  @OptionGroup var options: PictureOptions

  @Option(help: "Rounds of runs that are timed, with and without the cache in turns.")
  var rounds = 3

  @Option(help: "Steps of DDIM.")
  var steps = 50

  @Option(help: ArgumentHelp("Measure only this cache; may be repeated.", valueName: "name:number"))
  var only: [StepCache] = []

  struct Figures: Encodable {
    let machine: Machine
    let caches: [CachingTable.Result]
  }

  func validate() throws {
    try expect("--rounds", rounds, in: 1...100)
    try expect("--steps", steps, in: 1...1000)
  }

  func measure(on machine: Machine) async throws {
    let table = CachingTable(bench: try Workbench(), images: options.images, rounds: rounds, steps: steps)
    let results = try await table.measure(only.isEmpty ? CachingTable.caches : only)
    try options.figures.write(Figures(machine: machine, caches: results))
  }
}

extension StepCache: ExpressibleByArgument {}

struct CachingTable {
  static let scale = 7.5
  /// What the best cache is to reach.
  static let target = (psnr: 28.0, speedup: 1.8)

  static let caches: [StepCache] = [
    .deepCache(interval: 2, depth: 1), .deepCache(interval: 2), .deepCache(interval: 3), .deepCache(interval: 5),
    .deepCache(interval: 3, order: 1), .deepCache(interval: 5, order: 1), .deepCache(interval: 3, order: 2),
    .firstBlock(threshold: 0.05), .firstBlock(threshold: 0.1), .firstBlock(threshold: 0.2, order: 1),
    .taylor(interval: 2, order: 0), .taylor(interval: 2, order: 1), .taylor(interval: 2),
    .taylor(interval: 3, order: 1),
    .taylor(interval: 3), .taylor(interval: 4), .taylor(interval: 5), .taylor(interval: 5, order: 3),
  ]

  struct Result: Encodable {
    /// "none" is the model in full.
    let cache: String
    /// Of the time without a cache.
    let speedup: Double
    let millisecondsPerImage: Double
    /// Bytes, as planned for pictures sampled eight at a time.
    let peakMemory: Int
    /// Shares of the evaluations.
    let full: Double
    let partial: Double
    let skipped: Double
    /// Of the pictures to those without a cache; nil for these themselves.
    let quality: ImageComparison?
    let scores: GlyphScores
  }

  let bench: Workbench
  let images: Int
  let rounds: Int
  let steps: Int

  private static var table: Table<Result> {
    Table(
      [
        .init("cache", 26) { $0.cache }, .init("full %", 6) { percent($0.full) },
        .init("part %", 6) { percent($0.partial) }, .init("skip %", 6) { percent($0.skipped) },
        .init("ms/image", 8) { decimal($0.millisecondsPerImage, 1) }, .init("speed-up", 8) { times($0.speedup, 2) },
        .init("peak MB", 7) { megabytes($0.peakMemory) },
      ] + Table.comparison(\.quality) + Table.scores(\.scores) + [.init("images", 6) { "\($0.scores.images)" }])
  }

  /// Measures the caches, prints a row for each, and says which is the best.
  func measure(_ caches: [StepCache]) async throws -> [Result] {
    let plan = try bench.epsilon.scheduler.plan(SolverCatalogue.entry(named: "ddim"), steps: steps)
    let prompts = Array(bench.prompts.prefix(images))
    let reference = try await sample(prompts, plan, nil)
    let results = try await Self.table.rows(
      "Step caches, DDIM with \(steps) steps, guidance \(Self.scale)", [nil] + caches.map(Optional.some)
    ) { cache, _ in
      try await measure(cache, prompts, plan, against: reference)
    }
    printLegend([("full, part, skip", "shares of the evaluations")] + comparisonLegend + scoresLegend)
    report(results)
    return results
  }

  private func measure(
    _ cache: StepCache?, _ prompts: [GlyphPrompt], _ plan: SamplingPlan, against reference: Workbench.Batch
  ) async throws -> Result {
    let batch = cache == nil ? reference : try await sample(prompts, plan, cache)
    let few = Array(prompts.prefix(Workbench.batchSize))
    let turns = try await Turns(rounds: rounds) {
      _ = try await sample(few, plan, cache)
    } over: {
      _ = try await sample(few, plan, nil)
    }
    let counts = batch.counts.reduce(into: (full: 0, partial: 0, skipped: 0)) {
      $0 = ($0.full + $1.full, $0.partial + $1.partial, $0.skipped + $1.skipped)
    }
    let total = Double(max(counts.full + counts.partial + counts.skipped, 1))
    var request = GenerationRequest("", solver: "ddim", steps: steps, guidanceScale: Self.scale)
    request.count = Workbench.batchSize
    request.stepCache = cache
    return Result(
      cache: cache.map { "\($0)" } ?? "none", speedup: cache == nil ? 1 : turns.bestSpeedup,
      millisecondsPerImage: (turns.job.min() ?? .nan) / Double(few.count),
      peakMemory: try bench.epsilon.memory(for: request).peak, full: cache == nil ? 1 : Double(counts.full) / total,
      partial: Double(counts.partial) / total, skipped: Double(counts.skipped) / total,
      quality: cache == nil ? nil : ImageComparison(batch.images, with: reference.images),
      scores: try bench.scores(of: batch.pixels, prompts: prompts))
  }

  private func report(_ results: [Result]) {
    let good = results.filter { ($0.quality?.psnr ?? 0) >= Self.target.psnr }
    guard let best = good.max(by: { $0.speedup < $1.speedup }) else {
      return print("no cache keeps \(Self.target.psnr) dB\n")
    }
    let verdict = best.speedup >= Self.target.speedup ? "met" : "missed"
    print(
      "best at \(decimal(Self.target.psnr, 0)) dB or more: \(best.cache), \(decimal(best.speedup, 2))x at "
        + "\(decimal(best.quality?.psnr, 1)) dB; the target of \(decimal(Self.target.speedup, 1))x is \(verdict)\n")
  }

  private func sample(
    _ prompts: [GlyphPrompt], _ plan: SamplingPlan, _ cache: StepCache?
  ) async throws -> Workbench.Batch {
    try await bench.sample(
      prompts.map(\.text), scale: Self.scale, plan: plan, with: bench.epsilon, stepCache: cache,
      label: cache.map { "\($0)" } ?? "no cache")
  }
}
