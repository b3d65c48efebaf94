import Fewstep

extension Technique {
  /// The baseline, and solvers that take fewer steps.
  static let sampling = [
    Technique(name: "DDPM, 1000 steps", claimed: "1x, the baseline") { bench in
      let result = try await bench.measure(ddpm)
      return Finding(
        measured: "\(decimal(result.millisecondsPerImage, 0)) ms, \(percent(result.scores.allThree)) % right",
        figures: ["milliseconds": result.millisecondsPerImage, "right": result.scores.allThree])
    },
    Technique(name: "DDIM", claimed: "10-20x faster") { bench in
      try await fewerSteps([ddim(100), ddim(50), ddim(20)], claimed: 10...20, bench)
    },
    Technique(name: "DPM-Solver++ 2M", claimed: "50-100x faster") { bench in
      try await fewerSteps([solver(20), solver(10)], claimed: 50...100, bench)
    },
    Technique(name: "flow matching", claimed: "4-10 steps suffice") { bench in
      let all = try await measure([flow(4), flow(6), flow(10), flow(20)], bench)
      let best = all.map(\.scores.allThree).max() ?? 0
      // Within the resolution of so many images: one of them.
      let enough = all.first { $0.scores.allThree >= best - 1.5 / Double($0.scores.images) }?.steps ?? 20
      let cells = all.map { "\($0.steps): \(percent($0.scores.allThree))" }
      return Finding(
        measured: "% right at steps " + cells.joined(separator: ", "),
        why: enough <= 10
          ? ""
          : "\(enough) steps are as good as any, fewer are not: Euler cuts the bends of paths that nobody has "
            + "straightened (no reflow, no distillation)",
        figures: Dictionary(uniqueKeysWithValues: all.map { ("right at \($0.steps)", $0.scores.allThree) }))
    },
  ]

  static let ddpm = Setting.presets[Setting.presets.count - 1]

  static func ddim(_ steps: Int) -> Setting { Setting("DDIM", solver: "ddim", steps: steps) }

  static func solver(_ steps: Int) -> Setting {
    Setting("DPM-Solver++ 2M", solver: "dpm++2m", steps: steps, spacing: .karras)
  }

  static func flow(_ steps: Int) -> Setting {
    Setting("flow Euler", solver: "flow-euler", steps: steps, spacing: .trailing)
  }

  static func measure(_ settings: [Setting], _ bench: SettingBench) async throws -> [Measurement] {
    var results: [Measurement] = []
    for setting in settings { results.append(try await bench.measure(setting)) }
    return results
  }

  /// How much faster than DDPM settings are, and what of the quality is left.
  private static func fewerSteps(
    _ settings: [Setting], claimed: ClosedRange<Double>, _ bench: SettingBench
  ) async throws -> Finding {
    let baseline = try await bench.measure(ddpm)
    let all = try await measure(settings, bench)
    let speedups = all.map { baseline.millisecondsPerImage / $0.millisecondsPerImage }
    let cells = zip(all, speedups).map { result, speedup in
      "\(result.steps) steps: \(decimal(speedup, 0))x, \(decimal(result.quality?.psnr, 0)) dB"
    }
    let figures = zip(all, speedups).map { ("speed-up at \($0.steps)", $1) }
    let isReached = speedups.contains { $0 >= claimed.lowerBound }
    return Finding(
      measured: cells.joined(separator: "; "),
      why: isReached
        ? ""
        : "an image's text and decoding take their time whatever the steps, and 1000 steps are only "
          + "\(baseline.evaluations / all[all.count - 1].evaluations) times the evaluations",
      figures: Dictionary(uniqueKeysWithValues: figures))
  }
}
