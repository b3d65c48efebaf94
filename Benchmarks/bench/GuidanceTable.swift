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
    print("Guidance scale, DPM-Solver++ 2M with 20 steps")
    let table = TablePrinter(columns: [
      ("scale", 8), ("char %", 7), ("all 3 %", 8), ("Fréchet", 8), ("saturation", 11), ("clipped %", 10),
      ("degraded %", 11), ("images", 7),
    ])
    table.printHeading()
    let prompts = Array(bench.prompts.prefix(images))
    var results: [Result] = []
    for scale in Self.scales {
      let batch = try await sample(prompts.map(\.text), scale: scale, label: "scale \(scale)")
      let scores = try bench.scores(of: batch, prompts: prompts)
      results.append(Result(scale: scale, scores: scores))
      table.printRow([
        "\(scale)", percent(scores.character), percent(scores.allThree), decimal(scores.frechet, 1),
        decimal(scores.saturation, 3), percent(scores.clipped), percent(scores.degraded), "\(scores.images)",
      ])
    }
    return results
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
    print("Negative prompt \"\(GlyphPrompt.negative)\", DPM-Solver++ 2M with 20 steps")
    let table = TablePrinter(columns: [("prompts", 28), ("scale", 6), ("degraded %", 11), ("images", 7)])
    table.printHeading()
    let degraded = bench.prompts.prefix(images).enumerated().map { index, prompt in
      prompt.text(prefix: GlyphPrompt.degradations[index % GlyphPrompt.degradations.count])
    }
    let empty = Array(repeating: "", count: degraded.count)
    var results: [NegativeResult] = []
    for (label, prompts, scale, negative) in [
      ("degraded", degraded, 2.0, ""), ("degraded, negative prompt", degraded, 2, GlyphPrompt.negative),
      ("empty", empty, 1, ""), ("empty, negative prompt", empty, 3, GlyphPrompt.negative),
    ] {
      let batch = try await sample(prompts, negative: negative, scale: scale, label: label)
      let readings = bench.evaluator.read(batch.pixels)
      let result = NegativeResult(
        label: label, scale: scale, hasNegativePrompt: !negative.isEmpty, images: readings.count,
        degraded: Double(readings.count { $0.isDegraded }) / Double(readings.count))
      results.append(result)
      table.printRow([label, "\(scale)", percent(result.degraded), "\(result.images)"])
    }
    print("")
    return results
  }

  private func sample(
    _ prompts: [String], negative: String = "", scale: Double, label: String
  ) async throws -> Workbench.Batch {
    let plan = try bench.epsilon.scheduler.plan(SolverCatalogue.entry(named: "dpm++2m"), steps: 20)
    return try await bench.sample(
      prompts, negative: negative, scale: scale, plan: plan, with: bench.epsilon,
      progress: Progress(label, of: prompts.count))
  }
}
