import Fewstep
import Foundation
import Glyphs
import Testing

/// The bundled model against diffusers in single precision: Tests/Fixtures/reference.
///
/// `make test ARGS='--filter ReferenceTests'` prints the figures.
@Suite("End-to-end parity with diffusers")
struct ReferenceTests {
  static let cases = Array(1...4)

  struct Run: Sendable, CustomTestStringConvertible {
    let name: String
    let solver: String
    let steps: Int
    var spacing: GridSpacing?
    var testDescription: String { name }
  }

  static let runs = [
    Run(name: "ddim20", solver: "ddim", steps: 20), Run(name: "dpmpp10", solver: "dpm++2m", steps: 10),
    Run(name: "flow8", solver: "flow-euler", steps: 8, spacing: .trailing),
    Run(name: "flow8_default", solver: "flow-euler", steps: 8),
  ]

  static func record(_ number: Int) throws -> SafetensorsFile {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try SafetensorsFile(url: tests.appending(path: "Fixtures/reference/case\(number).safetensors"))
  }

  static func pipeline(for run: Run) throws -> TextToImagePipeline {
    try TextToImagePipeline(run.solver.hasPrefix("flow") ? Glyphs.flow() : Glyphs.epsilon())
  }

  static func tensor(_ name: String, in record: SafetensorsFile) throws -> DenseTensor<Float> {
    DenseTensor(try record.floats(name), shape: try record.entry(name).shape)
  }

  static func prompts(of record: SafetensorsFile) throws -> (prompt: String, negative: String) {
    (try #require(record.metadata["prompt"]), try #require(record.metadata["negative_prompt"]))
  }

  @Test(arguments: cases) func textEncoder(_ number: Int) throws {
    let record = try Self.record(number)
    let encoder = try PromptEncoder(Glyphs.epsilon())
    let (prompt, negative) = try Self.prompts(of: record)
    for (text, prefix) in [(prompt, ""), (negative, "negative_")] {
      let ids = encoder.tokenizer.encode(text).ids
      #expect(ids == (try record.int64s("\(prefix)ids").map { Int($0) }))
      let expected = try Self.tensor("\(prefix)embeddings", in: record)[outer: 0]
      let error = try encoder([text])[0].relativeError(to: expected)
      print("case \(number): token ids equal, embeddings of \"\(text)\" within \(error)")
      #expect(error <= 1e-5)
    }
  }

  @Test(arguments: runs, cases) func firstEvaluation(_ run: Run, _ number: Int) throws {
    let record = try Self.record(number)
    let unet = try Self.pipeline(for: run).denoiser
    let latents = try Self.tensor("initial_latents", in: record).channelsLast()
    let time = Double(try record.floats("\(run.name).timesteps")[0])
    for (branch, prefix) in [("first_conditional", ""), ("first_unconditional", "negative_")] {
      let context = try Self.tensor("\(prefix)embeddings", in: record)[outer: 0]
      let output = unet(latents, timesteps: [time], prompts: [unet.prepare(context)])
      let expected = try Self.tensor("\(run.name).\(branch)", in: record)
      let error = output.channelsFirst()[outer: 0].relativeError(to: expected)
      print("case \(number), \(run.name): \(branch) UNet evaluation within \(error)")
      #expect(error <= 1e-4)
    }
  }

  @Test(arguments: runs, cases) func wholeRun(_ run: Run, _ number: Int) async throws {
    let record = try Self.record(number)
    let pipeline = try Self.pipeline(for: run)
    let (prompt, negative) = try Self.prompts(of: record)
    let request = GenerationRequest(
      prompt, negativePrompt: negative, solver: run.solver, steps: run.steps, spacing: run.spacing,
      latents: try Self.tensor("initial_latents", in: record).channelsLast())
    let expected = try Self.tensor("\(run.name).latents", in: record)
    var trajectory: [DenseTensor<Float>] = []
    let image = try await pipeline.generate(request) { event in
      if case .step(let progress, _) = event {
        trajectory.append(DenseTensor.stacking(progress.states).channelsFirst()[outer: 0])
      }
    }[0]
    #expect(trajectory.count == run.steps)
    for (step, latents) in trajectory.enumerated() {
      #expect(latents.relativeError(to: expected[outer: step + 1]) <= 1e-3)
    }
    let pixels = DenseTensor.stacking([image.pixels]).channelsFirst()[outer: 0]
    let difference = DenseTensor.combining((1, pixels), (-1, try Self.tensor("\(run.name).pixels", in: record)))
    // The values span 2, from -1 to 1.
    let psnr = 20 * log10(2 / difference.rootMeanSquare())
    let error = trajectory[run.steps - 1].relativeError(to: expected[outer: run.steps])
    print("case \(number), \(run.name): final latents within \(error), decoded pixels at \(psnr) dB")
    #expect(psnr >= 50)
  }

  @Test(arguments: cases) func encoder(_ number: Int) throws {
    let record = try Self.record(number)
    let pixels = DenseTensor.stacking([try Self.tensor("ddim20.pixels", in: record)]).channelsLast()
    let moments = try AutoencoderKL(Glyphs.epsilon()).moments(of: pixels).channelsFirst()[outer: 0]
    #expect(moments.relativeError(to: try Self.tensor("vae.moments", in: record)) <= 1e-4)
  }
}
