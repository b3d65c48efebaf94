import Fewstep
import Foundation
import GlyphEvaluation

/// What the guidance scale and the negative prompt do, with DPM-Solver++ 2M at 20 steps.
struct GuidanceTable {
  static let scales = [1, 2, 4, 7.5, 15]
  /// The share of clipped colour values above which a picture counts as saturated.
  static let saturationLimit = 0.01

  struct Result: Encodable {
    let scale: Double
    let scores: GlyphScores
  }

  struct NegativeResult: Encodable {
    let label: String
    let scale: Double
    let hasNegativePrompt: Bool
    let images: Int
    let degraded: Double
  }

  let bench: Workbench
  let images: Int

  func sweep() async throws -> [Result] {
    let table = Table<Result>(
      [.init("scale", 8) { "\($0.scale)" }] + Table.scores(\.scores) + [
        .init("saturation", 11) { decimal($0.scores.saturation, 3) },
        .init("clipped %", 10) { percent($0.scores.clipped) }, .init("degraded %", 11) { percent($0.scores.degraded) },
        .init("images", 6) { "\($0.scores.images)" },
      ])
    let prompts = Array(bench.prompts.prefix(images))
    return try await table.rows("Guidance scale, DPM-Solver++ 2M with 20 steps", Self.scales) { scale, _ in
      let batch = try await sample(prompts.map(\.text), scale: scale, label: "scale \(scale)")
      return Result(scale: scale, scores: try bench.scores(of: batch.pixels, prompts: prompts))
    }
  }

  /// The scale to use: raised while that hits more prompts, and not so far that colours saturate, which is where more
  /// than ``saturationLimit`` of the values clip.
  func recommend(_ results: [Result]) -> Double? {
    guard var best = results.first else { return nil }
    for result in results.dropFirst() where result.scores.clipped <= Self.saturationLimit {
      if result.scores.allThree > best.scores.allThree { best = result }
    }
    print(
      "recommended scale: \(best.scale), with \(percent(best.scores.allThree)) % of the prompts hit and "
        + "\(percent(best.scores.clipped)) % of the colour values clipped\n")
    return best.scale
  }

  /// Degraded pictures with and without the negative prompt, from prompts that ask for them and from none at all.
  func negativePrompt() async throws -> [NegativeResult] {
    let table = Table<NegativeResult>([
      .init("prompts", 28) { $0.label }, .init("scale", 6) { "\($0.scale)" },
      .init("degraded %", 11) { percent($0.degraded) }, .init("images", 6) { "\($0.images)" },
    ])
    let degraded = bench.prompts.prefix(images).enumerated().map { index, prompt in
      prompt.text(prefix: GlyphPrompt.degradations[index % GlyphPrompt.degradations.count])
    }
    let empty = Array(repeating: "", count: degraded.count)
    let results = try await table.rows(
      "Negative prompt \"\(GlyphPrompt.negative)\", DPM-Solver++ 2M with 20 steps",
      [
        ("degraded", degraded, 2.0, ""), ("degraded, negative prompt", degraded, 2, GlyphPrompt.negative),
        ("empty", empty, 1, ""), ("empty, negative prompt", empty, 3, GlyphPrompt.negative),
      ]
    ) { row, _ in
      let (label, prompts, scale, negative) = row
      let batch = try await sample(prompts, negative: negative, scale: scale, label: label)
      let readings = bench.evaluator.read(batch.pixels)
      return NegativeResult(
        label: label, scale: scale, hasNegativePrompt: !negative.isEmpty, images: readings.count,
        degraded: Double(readings.count { $0.isDegraded }) / Double(readings.count))
    }
    print("")
    return results
  }

  private func sample(
    _ prompts: [String], negative: String = "", scale: Double, label: String
  ) async throws -> Workbench.Batch {
    let plan = try bench.epsilon.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: 20)
    return try await bench.sample(
      prompts, negative: negative, scale: scale, plan: plan, with: bench.epsilon, label: label)
  }
}
