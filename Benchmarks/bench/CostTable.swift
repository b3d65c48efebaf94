import Fewstep
import GlyphEvaluation

/// What the parts of the pipeline take once everything is warm.
struct CostTable {
  struct Result: Encodable {
    let part: String
    let images: Int
    let milliseconds: Double
  }

  let bench: Workbench

  func measure() async throws -> [Result] {
    print("Steady-state cost")
    let table = TablePrinter(columns: [("part", 28), ("images", 7), ("ms", 8), ("ms/image", 9)])
    table.printHeading()
    var results: [Result] = []
    func record(_ part: String, images: Int, runs: Int, _ job: () throws -> Void) async rethrows {
      let milliseconds = try await Workbench.medianMilliseconds(of: runs) { try job() }
      results.append(Result(part: part, images: images, milliseconds: milliseconds))
      table.printRow([part, "\(images)", decimal(milliseconds, 2), decimal(milliseconds / Double(images), 2)])
    }
    let pipeline = bench.epsilon
    let text = bench.prompts[0].text
    try await record("text encoding", images: 1, runs: 51) { _ = try pipeline.promptEncoder([text]) }
    let denoiser = try pipeline.denoiser
    let prompt = denoiser.prepare(try pipeline.promptEncoder([text])[0])
    for images in [1, 2, 16] {
      let latents = noise(images)
      await record("UNet evaluation", images: images, runs: 31) {
        _ = denoiser(
          latents, timesteps: Array(repeating: 500, count: images), prompts: Array(repeating: prompt, count: images))
      }
    }
    let latents = noise(1)
    let autoencoder = try pipeline.autoencoder
    await record("VAE decoding", images: 1, runs: 31) { _ = autoencoder.decode(scaled: latents) }
    try await measureEdits(autoencoder, record)
    print("")
    return results
  }

  /// Decoding in full, and around an edit of 4 x 4 latents, of a picture that is larger than the model's.
  private func measureEdits(
    _ autoencoder: AutoencoderKL, _ record: (String, Int, Int, () throws -> Void) async throws -> Void
  ) async throws {
    let side = 64
    let before = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed), shape: [1, side, side, 4])
    let patch = DenseTensor<Float>(noise: NoiseField(seed: Workbench.seed + 1), shape: [1, 4, 4, 4])
    var after = before
    after.replace(PixelWindow(rows: 30..<34, columns: 30..<34), with: patch)
    let pixels = side * autoencoder.configuration.scale
    try await record("VAE decoding, \(pixels) x \(pixels)", 1, 7) { _ = autoencoder.decode(scaled: after) }
    var decoder = IncrementalDecoder(autoencoder)
    let old = decoder.decode(scaled: before)
    var isEdited = false
    try await record("  around an edit", 1, 15) {
      isEdited.toggle()
      _ = decoder.decode(scaled: isEdited ? after : before)
    }
    let share = Double(decoder.decodedPixels) / Double(pixels * pixels)
    decoder.reset()
    _ = decoder.decode(scaled: before)
    let edited = decoder.decode(scaled: after)
    func picture(_ pixels: DenseTensor<Float>) throws -> Image {
      try Image(width: pixels.shape[2], height: pixels.shape[1], rgb: pixels.elements)
    }
    let exact = try picture(autoencoder.decode(scaled: after))
    print(
      "  around an edit, norms frozen: \(percent(share)) % of the pixels, PSNR \(decimal(try picture(edited).psnr(to: exact), 1)) "
        + "to the full decode, where the picture before the edit has \(decimal(try picture(old).psnr(to: exact), 1))")
  }

  private func noise(_ images: Int) -> DenseTensor<Float> {
    DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: [images, 16, 16, 4])
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
    print("End to end: one prompt, DPM-Solver++ 2M, 20 steps, guidance 7.5")
    let table = TablePrinter(columns: [("batch", 8), ("ms", 9), ("ms/image", 9)])
    table.printHeading()
    var results: [Result] = []
    for (batch, runs) in [(1, 11), (8, 5)] {
      let request = GenerationRequest(
        "a bold red letter A on a white background, serif", solver: "dpm++2m", steps: 20, guidanceScale: 7.5,
        count: batch)
      let milliseconds = try await Workbench.medianMilliseconds(of: runs) {
        _ = try await bench.epsilon.generate(request)
      }
      results.append(
        Result(batch: batch, steps: 20, guidance: 7.5, solver: "dpm++2m", milliseconds: milliseconds))
      table.printRow(["\(batch)", decimal(milliseconds, 1), decimal(milliseconds / Double(batch), 1)])
    }
    print("")
    return results
  }
}
