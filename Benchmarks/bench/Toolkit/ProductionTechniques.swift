import Fewstep

extension Technique {
  /// What a pipeline does beside sampling.
  static let production = [
    Technique(name: "prompt embeddings kept", claimed: "no text encoder for known prompts") { bench in
      let choices = Preset(name: "one image", solver: "dpm++2m", steps: 10, spacing: .karras, batchSize: 1)
      let pipeline = try bench.pipeline(choices)
      let request = bench.requests(choices, count: 1)
      let texts = [bench.bench.prompts[0].text, ""]
      let ratio = try await Turns(rounds: 7) {
        _ = try pipeline.promptEncoder(texts)
      } over: {
        _ = try await pipeline.generate(request)
      }.speedup
      return Finding(
        measured: "\(decimal(100 / ratio, 1)) % of a 10-step image is text encoding",
        why: "that share is all that keeping embeddings can save: the denoiser takes the rest",
        figures: ["share": 1 / ratio])
    },
    Technique(name: "batches of 8", claimed: "more images per second") { bench in
      let requests = bench.requests(fewSteps, count: 8)
      let together = try bench.pipeline(fewSteps)
      var single = together
      single.batchSize = 1
      let oneByOne = single
      let speedup = try await Turns(rounds: 7) {
        _ = try await together.generate(requests)
      } over: {
        _ = try await oneByOne.generate(requests)
      }.speedup
      return Finding(
        measured: "\(decimal(speedup, 2))x the images per second",
        why: speedup > 1.05 ? "" : "one image with its two branches of guidance already keeps all cores busy",
        figures: ["speed-up": speedup])
    },
    Technique(name: "decoding beside denoising", claimed: "decoding is hidden") { bench in
      let requests = bench.requests(fewSteps, count: 32)
      let beside = try bench.pipeline(fewSteps)
      var other = beside
      other.overlapsDecoding = false
      let after = other
      let speedup = try await Turns(rounds: 7) {
        _ = try await beside.generate(requests)
      } over: {
        _ = try await after.generate(requests)
      }.speedup
      let latents = try await beside.generate(requests[0]).map(\.latents)
      let share = try await Turns(rounds: 7) {
        for _ in requests { _ = try beside.decode(latents) }
      } over: {
        _ = try await after.generate(requests)
      }.speedup
      // All but the last of four batches can be hidden.
      let possible = 1 / (1 - 0.75 / share)
      return Finding(
        measured: "\(decimal(speedup, 2))x; decoding is \(decimal(100 / share, 0)) % of the time",
        why: speedup > 0.98 * possible
          ? ""
          : "hiding it would give \(decimal(possible, 2))x, were there idle cores: denoising leaves few of the "
            + "\(ThreadPool.threadCount) threads waiting",
        figures: ["speed-up": speedup, "share": 1 / share])
    },
  ]
}
