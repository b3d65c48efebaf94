import Fewstep

extension Technique {
  /// Fewer bits.
  static let precisions = [
    Technique(name: "FP16", claimed: "2x faster, half the memory") { bench in
      try await fewerBits(.float16, speed: 2, size: 2, bench)
    },
    Technique(name: "BF16", claimed: "2x faster, half the memory") { bench in
      try await fewerBits(.bfloat16, speed: 2, size: 2, bench)
    },
    Technique(name: "INT8", claimed: "4x faster, a quarter of the memory") { bench in
      try await fewerBits(.int8, speed: 4, size: 4, bench)
    },
  ]

  /// A tenth less than claimed still counts as what was claimed.
  private static let tolerance = 0.9

  private static func fewerBits(
    _ precision: Precision, speed: Double, size: Double, _ bench: SettingBench
  ) async throws -> Finding {
    let floats = Preset(name: "float32", solver: "dpm++2m", steps: 10, spacing: .karras)
    var low = floats
    low.name = precision.rawValue
    low.precision = precision
    let (full, reduced) = (try bench.pipeline(floats), try bench.pipeline(low))
    let requests = bench.requests(floats, count: floats.batchSize)
    let speedup = try await Turns(rounds: 7) {
      _ = try await reduced.generate(requests)
    } over: {
      _ = try await full.generate(requests)
    }.speedup
    let result = try await bench.measure(Setting("precision", low))
    let (large, small) = (try full.memory(for: requests).weights, result.weightBytes)
    let shrinkage = Double(large) / Double(small)
    var reasons: [String] = []
    if speedup < tolerance * speed, precision == .float16 { reasons.append("halves are stored, floats computed with") }
    if speedup < tolerance * speed { reasons.append(try byKind(full, reduced, bench)) }
    if shrinkage < tolerance * size {
      reasons.append("\(decimal(shrinkage, 1))x smaller: what would suffer most keeps more bits")
    }
    return Finding(
      measured: "\(decimal(speedup, 2))x the speed, \(decimal(Double(large) / 1e6, 1)) to "
        + "\(decimal(Double(small) / 1e6, 1)) MB, "
        + (result.precisionPSNR == .infinity ? "equal images" : "\(decimal(result.precisionPSNR, 0)) dB"),
      why: reasons.joined(separator: "; "),
      figures: ["speed-up": speedup, "shrinkage": shrinkage, "psnr": result.precisionPSNR ?? .nan])
  }

  /// What kinds of layers take of an evaluation in single precision, and how much faster each of them is with fewer
  /// bits.
  private static func byKind(
    _ full: TextToImagePipeline, _ reduced: TextToImagePipeline, _ bench: SettingBench
  ) throws -> String {
    let batch = 2 * Workbench.batchSize
    let latents = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed), shape: [batch, 16, 16, 4])
    func evaluate(_ pipeline: TextToImagePipeline) throws -> [String: Double] {
      let denoiser = try pipeline.denoiser
      let prompt = denoiser.prepare(try pipeline.promptEncoder([bench.bench.prompts[0].text])[0])
      var least: [String: Double] = [:]
      for _ in 0..<5 {
        let profile = Profile.record {
          denoiser(
            latents, timesteps: Array(repeating: 500, count: batch), prompts: Array(repeating: prompt, count: batch))
        }.profile
        var seconds: [String: Double] = [:]
        for layer in profile.layers { seconds[name(layer.kind), default: 0] += layer.seconds }
        least.merge(seconds) { min($0, $1) }
      }
      return least
    }
    let (slow, fast) = try (evaluate(full), evaluate(reduced))
    let total = slow.values.reduce(0, +)
    let parts = ["convolutions", "linear layers", "attention", "the rest"].compactMap { kind -> String? in
      guard let before = slow[kind], let after = fast[kind] else { return nil }
      return "\(kind) (\(decimal(100 * before / total, 0)) %) \(decimal(before / after, 1))x"
    }
    return "shares of an evaluation and what became of them: " + parts.joined(separator: ", ")
  }

  private static func name(_ kind: Profile.Kind) -> String {
    switch kind {
    case .convolution: "convolutions"
    case .linear: "linear layers"
    case .attention: "attention"
    case .groupNorm, .layerNorm, .elementwise: "the rest"
    }
  }
}
