import Checkpoints
import DenseTensors
import Foundation
import Tensors

/// Networks and reference outputs made by diffusers and transformers: Tests/Fixtures/networks.
enum Fixtures {
  static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  static let networks = tests.appending(path: "Fixtures/networks")
  static let glyphs = tests.deletingLastPathComponent().appending(path: "Sources/Glyphs/Resources/glyphs")

  static func folder() throws -> ModelFolder { try ModelFolder(url: networks) }

  /// Every io file of a network.
  static func records(of network: String) throws -> [SafetensorsFile] {
    let folder = networks.appending(path: network)
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
      .filter { $0.hasPrefix("io") }
      .map { try SafetensorsFile(url: folder.appending(path: $0)) }
  }
}

extension SafetensorsFile {
  func tensor(_ name: String) throws -> DenseTensor<Float> {
    DenseTensor(try floats(name), shape: try entry(name).shape)
  }
}
