import ArgumentParser
import Fewstep
import Foundation
import GlyphEvaluation

/// What step caches save and what they cost in quality.
struct Caching: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Speed and quality of step caches on the bundled model.",
    discussion: """
      DDIM with 50 steps and guidance 7.5, the prompts of Tools/train-glyphs/EVALUATION.md. PSNR and SSIM are between the
      pictures of the same seed with and without the cache. Times are the shortest of several runs in turns.
      """)

  @Option(help: "Pictures per row; the Fréchet distance needs 64 or more.")
  var images = 64

  @Option(help: "Rounds of runs that are timed, with and without the cache in turns.")
  var rounds = 3

  @Option(help: "Steps of DDIM.")
  var steps = 50

  @Option(help: ArgumentHelp("Measure only this cache; can be repeated.", valueName: "name:number"))
  var only: [StepCache] = []

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  func validate() throws {
    guard (1...512).contains(images) else { throw ValidationError("--images \(images): expected 1 to 512") }
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds \(rounds): expected 1 to 100") }
    guard (1...1000).contains(steps) else { throw ValidationError("--steps \(steps): expected 1 to 1000") }
  }

  func run() async throws {
    try await inRelease {
      let bench = try Workbench()
      print("fewstep \(fewstepVersion) on \(Machine.current)\n")
      let table = CachingTable(bench: bench, images: images, rounds: rounds, steps: steps)
      let results = try await table.measure(only.isEmpty ? CachingTable.caches : only)
      if let json { try results.writeJSON(to: URL(filePath: json)) }
    }
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
    /// Means over the pictures, against those without a cache; the lowest as well, for means hide it.
    let psnr: Double?
    let lowestPSNR: Double?
    let ssim: Double?
    let scores: GlyphScores
  }

  let bench: Workbench
  let images: Int
  let rounds: Int
  let steps: Int

  /// Measures the caches, prints a row for each, and says which is the best.
  func measure(_ caches: [StepCache]) async throws -> [Result] {
    print("Step caches, DDIM with \(steps) steps, guidance \(Self.scale)")
    let table = TablePrinter(columns: [
      ("cache", 26), ("full %", 6), ("part %", 6), ("skip %", 6), ("ms/image", 8), ("speed-up", 8), ("peak MB", 7),
      ("PSNR", 5), ("lowest", 6), ("SSIM", 6), ("Fréchet", 7), ("char %", 6), ("all 3 %", 7), ("images", 6),
    ])
    table.printHeading()
    let plan = try bench.epsilon.scheduler.plan(SolverCatalogue.entry(named: "ddim"), steps: steps)
    let prompts = Array(bench.prompts.prefix(images))
    let reference = try await sample(prompts, plan, nil)
    var results: [Result] = []
    for cache in [nil] + caches.map(Optional.some) {
      let batch = cache == nil ? reference : try await sample(prompts, plan, cache)
      let times = try await time(prompts, plan, cache)
      let qualities = try zip(pictures(batch), pictures(reference)).map { ($0.psnr(to: $1), $0.ssim(to: $1)) }
      let counts = batch.counts.reduce(into: (full: 0, partial: 0, skipped: 0)) {
        $0 = ($0.full + $1.full, $0.partial + $1.partial, $0.skipped + $1.skipped)
      }
      let total = Double(max(counts.full + counts.partial + counts.skipped, 1))
      var request = GenerationRequest("", solver: "ddim", steps: steps, guidanceScale: Self.scale)
      request.count = Workbench.batchSize
      request.stepCache = cache
      let mean = { (values: [Double]) in values.reduce(0, +) / Double(values.count) }
      let result = Result(
        cache: cache.map { "\($0)" } ?? "none", speedup: times.without / times.with,
        millisecondsPerImage: 1000 * times.with / Double(min(Workbench.batchSize, images)),
        peakMemory: try bench.epsilon.memory(for: request).peak, full: cache == nil ? 1 : Double(counts.full) / total,
        partial: Double(counts.partial) / total, skipped: Double(counts.skipped) / total,
        psnr: cache == nil ? nil : mean(qualities.map(\.0)), lowestPSNR: cache == nil ? nil : qualities.map(\.0).min(),
        ssim: cache == nil ? nil : mean(qualities.map(\.1)), scores: try bench.scores(of: batch, prompts: prompts))
      results.append(result)
      table.printRow([
        result.cache, percent(result.full), percent(result.partial), percent(result.skipped),
        decimal(result.millisecondsPerImage, 1), decimal(result.speedup, 2) + "x",
        decimal(Double(result.peakMemory) / 1e6, 1), decimal(result.psnr, 1), decimal(result.lowestPSNR, 1),
        decimal(result.ssim, 4), decimal(result.scores.frechet, 1), percent(result.scores.character),
        percent(result.scores.allThree), "\(result.scores.images)",
      ])
    }
    report(results)
    return results
  }

  private func report(_ results: [Result]) {
    let good = results.filter { ($0.psnr ?? 0) >= Self.target.psnr }
    guard let best = good.max(by: { $0.speedup < $1.speedup }) else {
      return print("\nno cache keeps \(Self.target.psnr) dB")
    }
    let verdict = best.speedup >= Self.target.speedup ? "met" : "missed"
    print(
      "\nbest at \(decimal(Self.target.psnr, 0)) dB or more: \(best.cache), \(decimal(best.speedup, 2))x at "
        + "\(decimal(best.psnr, 1)) dB; the target of \(decimal(Self.target.speedup, 1))x is \(verdict)\n")
  }

  private func sample(
    _ prompts: [GlyphPrompt], _ plan: SamplingPlan, _ cache: StepCache?
  ) async throws -> Workbench.Batch {
    try await bench.sample(
      prompts.map(\.text), scale: Self.scale, plan: plan, with: bench.epsilon, stepCache: cache,
      progress: Progress(cache.map { "\($0)" } ?? "no cache", of: prompts.count))
  }

  /// The shortest times of one batch with the cache and without, in turns: what else the machine does slows both.
  private func time(
    _ prompts: [GlyphPrompt], _ plan: SamplingPlan, _ cache: StepCache?
  ) async throws -> (with: Double, without: Double) {
    let few = Array(prompts.prefix(Workbench.batchSize))
    var (with, without) = (Double.infinity, Double.infinity)
    for _ in 0..<rounds {
      without = min(without, try await sample(few, plan, nil).seconds)
      with = min(with, try await sample(few, plan, cache).seconds)
    }
    return cache == nil ? (without, without) : (with, without)
  }

  private func pictures(_ batch: Workbench.Batch) throws -> [Image] {
    try batch.pixels.map { try Image(width: $0.shape[1], height: $0.shape[0], rgb: $0.elements) }
  }
}
