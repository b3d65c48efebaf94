import Fewstep
import GlyphEvaluation

/// What the parts of the pipeline take once everything is warm.
struct CostTable {
  struct Result: Encodable {
    let part: String
    let images: Int
    let milliseconds: Double
  }

  private struct Part {
    let name: String
    var images = 1
    var runs = 31
    let job: () throws -> Void
  }

  let bench: Workbench

  func measure() async throws -> [Result] {
    let table = Table<Result>([
      .init("part", 28) { $0.part }, .init("images", 7) { "\($0.images)" },
      .init("ms", 8) { decimal($0.milliseconds, 2) },
      .init("ms/image", 9) { decimal($0.milliseconds / Double($0.images), 2) },
    ])
    let edit = Edit(try bench.epsilon.autoencoder)
    let results = try await table.rows("Steady-state cost", parts(edit)) { part, _ in
      Result(
        part: part.name, images: part.images,
        milliseconds: try await Timing.median(runs: part.runs) { try part.job() })
    }
    print(try edit.verdict())
    print("")
    return results
  }

  private func parts(_ edit: Edit) throws -> [Part] {
    let pipeline = bench.epsilon
    let text = bench.prompts[0].text
    let denoiser = try pipeline.denoiser
    let prompt = denoiser.prepare(try pipeline.promptEncoder([text])[0])
    let autoencoder = try pipeline.autoencoder
    func noise(_ images: Int) -> DenseTensor<Float> {
      DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: [images, 16, 16, 4])
    }
    let evaluations = [1, 2, 16].map { images in
      let latents = noise(images)
      return Part(name: "UNet evaluation", images: images) {
        _ = denoiser(
          latents, timesteps: Array(repeating: 500, count: images), prompts: Array(repeating: prompt, count: images))
      }
    }
    let latents = noise(1)
    return [Part(name: "text encoding", runs: 51) { _ = try pipeline.promptEncoder([text]) }] + evaluations + [
      Part(name: "VAE decoding") { _ = autoencoder.decode(scaled: latents) },
      Part(name: "VAE decoding, \(edit.side) x \(edit.side)", runs: 7) { _ = autoencoder.decode(scaled: edit.after) },
      Part(name: "  around an edit", runs: 15, job: edit.decode),
    ]
  }

  /// An edit of 4 x 4 latents in a picture that is larger than the model's.
  private final class Edit {
    private let autoencoder: AutoencoderKL
    private let before: DenseTensor<Float>
    let after: DenseTensor<Float>
    private var decoder: IncrementalDecoder
    private var isEdited = false
    /// Of the picture, in pixels.
    let side: Int

    init(_ autoencoder: AutoencoderKL) {
      let latents = 64
      self.autoencoder = autoencoder
      side = latents * autoencoder.configuration.scale
      before = DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: [1, latents, latents, 4])
      var after = before
      let patch = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed + 1), shape: [1, 4, 4, 4])
      after.replace(PixelWindow(rows: 30..<34, columns: 30..<34), with: patch)
      self.after = after
      decoder = IncrementalDecoder(autoencoder)
      _ = decoder.decode(scaled: before)
    }

    /// Makes the edit, or takes it back.
    func decode() {
      isEdited.toggle()
      _ = decoder.decode(scaled: isEdited ? after : before)
    }

    /// What decoding around the edit saves, and how near it comes to decoding in full.
    func verdict() throws -> String {
      let share = Double(decoder.decodedPixels) / Double(side * side)
      decoder.reset()
      let old = try Self.picture(decoder.decode(scaled: before))
      let edited = try Self.picture(decoder.decode(scaled: after))
      let exact = try Self.picture(autoencoder.decode(scaled: after))
      return
        "  around an edit, norms frozen: \(percent(share)) % of the pixels, PSNR \(decimal(edited.psnr(to: exact), 1)) "
        + "to the full decode, where the picture before the edit has \(decimal(old.psnr(to: exact), 1))"
    }

    private static func picture(_ pixels: DenseTensor<Float>) throws -> Image {
      try Image(width: pixels.shape[2], height: pixels.shape[1], rgb: pixels.elements)
    }
  }
}

/// Whole generations as a user asks for them, for comparison with other programs.
struct GenerationTable {
  struct Result: Encodable {
    let batch: Int
    let steps: Int
    let guidance: Double
    let solver: String
    let milliseconds: Double
  }

  let bench: Workbench

  func measure() async throws -> [Result] {
    let table = Table<Result>([
      .init("batch", 8) { "\($0.batch)" }, .init("ms", 9) { decimal($0.milliseconds, 1) },
      .init("ms/image", 9) { decimal($0.milliseconds / Double($0.batch), 1) },
    ])
    let results = try await table.rows(
      "End to end: one prompt, DPM-Solver++ 2M, 20 steps, guidance 7.5", [(batch: 1, runs: 11), (batch: 8, runs: 5)]
    ) { row, _ in
      let request = GenerationRequest(
        "a bold red letter A on a white background, serif", solver: "dpm++2m", steps: 20, guidanceScale: 7.5,
        count: row.batch)
      let milliseconds = try await Timing.median(runs: row.runs) { _ = try await bench.epsilon.generate(request) }
      return Result(batch: row.batch, steps: 20, guidance: 7.5, solver: "dpm++2m", milliseconds: milliseconds)
    }
    print("")
    return results
  }
}
