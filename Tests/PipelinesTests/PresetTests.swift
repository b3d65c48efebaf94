import Fewstep
import Glyphs
import Testing

@Suite("Presets")
struct PresetTests {
  static let prompt = "a bold red letter A on a white background, serif"

  @Test func namesLeadToPresets() {
    for preset in Preset.all { #expect(Preset(named: preset.name) == preset) }
    #expect(Preset(named: "nope") == nil)
    #expect(Set(Preset.all.map(\.name)).count == Preset.all.count)
  }

  @Test func optionsOverrideAPreset() throws {
    let plain = GenerationRequest(Self.prompt, preset: .realTime, seed: 3, count: 2)
    #expect(plain.solver == "dpm++2m" && plain.steps == 10 && plain.spacing == .karras && plain.guidanceScale == 7.5)
    #expect(plain.seed == 3 && plain.count == 2)
    let changed = GenerationRequest(Self.prompt, preset: .realTime, steps: 7, spacing: .trailing, guidanceScale: 2)
    #expect(changed.solver == "dpm++2m" && changed.steps == 7 && changed.spacing == .trailing)
    #expect(changed.guidanceScale == 2)
    // The grid goes with the solver.
    #expect(GenerationRequest(Self.prompt, preset: .realTime, solver: "ddim").spacing == nil)
  }

  @Test func everyPresetFitsTheBundledModel() throws {
    for preset in Preset.all {
      let pipeline = try TextToImagePipeline(Glyphs.epsilon(), preset: preset)
      #expect(pipeline.batchSize == preset.batchSize)
      let sampler = try pipeline.sampler(for: GenerationRequest(Self.prompt, preset: preset))
      #expect(sampler.solver == preset.solver && sampler.stepCount == preset.steps)
    }
  }

  /// Eight tasks with one loaded model, in every preset's precision and with its sampler: the bits of one after
  /// another.
  @Test(arguments: Preset.all) func tasksAtOnceGiveTheSameBits(_ preset: Preset) async throws {
    let pipeline = try TextToImagePipeline(Glyphs.epsilon(), preset: preset)
    let requests = (0..<8).map { number in
      GenerationRequest(
        Self.prompt, preset: preset, steps: min(preset.steps, 6), seed: UInt64(number / 2), count: 1 + number % 2)
    }
    var expected: [[GeneratedImage]] = []
    for request in requests { expected.append(try await pipeline.generate(request)) }
    try await withThrowingTaskGroup(of: (Int, [GeneratedImage]).self) { group in
      for (number, request) in requests.enumerated() {
        group.addTask { (number, try await pipeline.generate(request)) }
      }
      for try await (number, images) in group {
        #expect(images.map(\.image) == expected[number].map(\.image))
        #expect(images.map(\.latents) == expected[number].map(\.latents))
      }
    }
  }
}
