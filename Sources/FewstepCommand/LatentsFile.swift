import Fewstep
import Foundation

/// Latents as diffusers keeps them: one tensor, `[images, channels, height, width]`.
enum LatentsFile {
  /// The tensor called `latents`, or the only one in the file, as `[images, height, width, channels]`.
  static func read(_ url: URL) throws(CheckpointError) -> DenseTensor<Float> {
    let file = try SafetensorsFile(url: url)
    let name = file.contains("latents") ? "latents" : file.names.count == 1 ? file.names[0] : nil
    guard let name else {
      throw CheckpointError(
        .missingTensor, file: url, key: "latents", found: "\(file.names.count) others", expected: "a tensor")
    }
    let shape = try file.entry(name).shape
    guard shape.rank == 4, shape.count > 0 else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "shape \(shape)", expected: "[images, channels, height, width]")
    }
    return DenseTensor(try file.floats(name), shape: shape).channelsLast()
  }

  static func write(_ latents: [DenseTensor<Float>], to url: URL, prompt: String) throws(CheckpointError) {
    let tensor = DenseTensor.stacking(latents).channelsFirst()
    try SafetensorsWriter.write(
      [.init(name: "latents", shape: tensor.shape, values: .float32(tensor.elements))], metadata: ["prompt": prompt],
      to: url)
  }
}
