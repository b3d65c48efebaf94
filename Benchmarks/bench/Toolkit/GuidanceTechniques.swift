import Fewstep
import GlyphEvaluation

extension Technique {
  /// What prompts do.
  static let guidance = [
    Technique(name: "guidance", claimed: "follows prompts, at 2x the cost") { bench in
      let unguided = try await sample(bench, scale: 1)
      let guided = try await sample(bench, scale: SamplerTable.scale)
      let cost = try await cost(bench, scale: SamplerTable.scale, over: 1)
      return Finding(
        measured: "\(percent(unguided.allThree)) to \(percent(guided.allThree)) % right, \(decimal(cost, 2))x the time",
        why: guided.allThree > unguided.allThree
          ? cost < 1.8 ? "text, decoding and the sampler's own sums are not doubled, and larger batches run better" : ""
          : "the model follows the prompts without guidance, too",
        figures: ["right without": unguided.allThree, "right with": guided.allThree, "cost": cost])
    },
    Technique(name: "negative prompt", claimed: "removes what it names, for nothing") { bench in
      let without = try await sample(bench, scale: 2, degrading: true)
      let with = try await sample(bench, scale: 2, negative: GlyphPrompt.negative, degrading: true)
      let cost = try await cost(bench, scale: 2, negative: GlyphPrompt.negative, over: 2)
      return Finding(
        measured: "\(percent(without.degraded)) to \(percent(with.degraded)) % degraded, \(decimal(cost, 2))x the time",
        why: with.degraded == 0
          ? "" : "the prompts ask for what the negative prompt forbids, and at this scale the prompt sometimes wins",
        figures: ["degraded without": without.degraded, "degraded with": with.degraded, "cost": cost])
    },
  ]

  static let fewSteps = Preset(name: "few steps", solver: "dpm++2m", steps: 10, spacing: .karras)

  private static func requests(
    _ bench: SettingBench, count: Int, scale: Double, negative: String = "", degrading: Bool = false
  ) -> [GenerationRequest] {
    bench.bench.prompts.prefix(count).enumerated().map { number, prompt in
      let word = degrading ? GlyphPrompt.degradations[number % GlyphPrompt.degradations.count] : nil
      return GenerationRequest(
        prompt.text(prefix: word), preset: fewSteps, negativePrompt: negative, guidanceScale: scale,
        seed: Workbench.seed + UInt64(number))
    }
  }

  private static func sample(
    _ bench: SettingBench, scale: Double, negative: String = "", degrading: Bool = false
  ) async throws -> GlyphScores {
    let requests = requests(bench, count: bench.images, scale: scale, negative: negative, degrading: degrading)
    let images = try await bench.pipeline(fewSteps).generate(requests).flatMap { $0 }
    return try bench.bench.scores(of: images.map(\.pixels), prompts: Array(bench.bench.prompts.prefix(bench.images)))
  }

  /// The time of a batch over that of one without a negative prompt at another scale.
  private static func cost(
    _ bench: SettingBench, scale: Double, negative: String = "", over other: Double
  ) async throws -> Double {
    let pipeline = try bench.pipeline(fewSteps)
    let more = requests(bench, count: fewSteps.batchSize, scale: scale, negative: negative)
    let less = requests(bench, count: fewSteps.batchSize, scale: other)
    return try await Turns(rounds: 7) {
      _ = try await pipeline.generate(less)
    } over: {
      _ = try await pipeline.generate(more)
    }.speedup
  }
}
