import Fewstep
import Foundation
import Glyphs
import Testing

@testable import Pipelines

/// What says that a format fails on a model.
@Suite struct QualityGateTests {
  private static func gate(_ psnr: Double) -> QualityGate {
    var gate = QualityGate()
    gate.prompts = Array(gate.prompts.prefix(2))
    gate.template.steps = 3
    gate.requiredPSNR = psnr
    return gate
  }

  @Test func goodFormatsPass() async throws {
    let folder = try Glyphs.epsilon()
    let pipeline = try TextToImagePipeline(folder, precision: .int8)
    let comparison = try await Self.gate(20).check(pipeline, of: folder)
    #expect(comparison.images == 2 && comparison.psnr >= 20 && comparison.psnr.isFinite)
    #expect(comparison.worstPSNR <= comparison.psnr && comparison.ssim > 0.8)
    let exact = try await Self.gate(200).check(TextToImagePipeline(folder, precision: .float32), of: folder)
    #expect(exact.psnr == .infinity && exact.identical == 2 && exact.meanPSNR == nil)
  }

  @Test func imagesThatAreTooFarOffAreRefused() async throws {
    let folder = try Glyphs.epsilon()
    let error = await #expect(throws: QualityFailure.self) {
      try await Self.gate(80).check(TextToImagePipeline(folder, precision: .int8), of: folder)
    }
    #expect(error?.format == "int8" && error?.description.contains("80.0 dB were asked for") == true)
  }

  /// Latents that are no numbers become a black image, which is no result.
  @Test func whatIsNoImageIsAnError() async throws {
    let pipeline = try TextToImagePipeline(Glyphs.epsilon())
    let shape = try pipeline.latentShape(size: nil)
    for broken in [Float.nan, .infinity] {
      var latents = [Float](repeating: 0.1, count: 2 * shape.count)
      latents[shape.count + 3] = broken
      var request = GenerationRequest("", steps: 1, count: 2)
      request.latents = DenseTensor(latents, shape: Shape([2] + shape.dimensions))
      let sent = request
      await #expect(throws: PipelineError.unusableImage(request: 0, index: 1, flaw: .notFinite)) {
        try await pipeline.generate(sent)
      }
    }
  }

  @Test func flawsAreTold() {
    func flaw(_ values: [Float]) -> ImageFlaw? { values.withUnsafeBufferPointer(ImageFlaw.init) }
    #expect(flaw([Float](repeating: 0.25, count: 12)) == .constant)
    #expect(flaw([Float](repeating: 0.25, count: 11) + [0.3]) == nil)
    // One pixel is always of one value.
    #expect(flaw([0, 0, 0]) == nil)
    for value in [Float.nan, .infinity, -.infinity] {
      for place in [0, 5, 11] {
        var values = (0..<12).map { Float($0) / 12 }
        values[place] = value
        #expect(flaw(values) == .notFinite)
      }
    }
  }
}
