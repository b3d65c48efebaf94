// Generates with the bundled model.
import Fewstep
import Foundation
import Glyphs

let pipeline = try TextToImagePipeline(Glyphs.epsilon())
let request = GenerationRequest("a bold red letter A on a white background", solver: "dpm++2m", steps: 10, seed: 7)
for try await event in pipeline.events(of: request) {
  switch event {
  case .truncated, .step: break
  case .image(let image):
    try image.image.write(to: URL(filePath: "letter.png"))
    // The corners are background: white.
    precondition(image.image.pixels[0] > 180, "a dark corner: \(image.image.pixels[0])")
    print("letter.png, \(image.image.width)x\(image.image.height)")
  }
}
