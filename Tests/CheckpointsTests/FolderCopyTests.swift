import Checkpoints
import Foundation
import Testing

/// Folders made of others, and folders that appear whole or not at all.
@Suite struct FolderCopyTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A model as Hugging Face's cache holds it: files are links to others, relative ones, and a component may be too.
  private func linkedModel() throws -> ModelFolder {
    let files = [
      "model_index.json":
        #"{"_class_name":"A","unet":["diffusers","U"],"vae":["diffusers","V"],"gone":["diffusers","G"]}"#,
      "unet/config.json": "{}", "unet/diffusion_pytorch_model.safetensors": "weights",
      "unet/diffusion_pytorch_model.safetensors.index.json": "{}", "vae/config.json": "{}", "vae/model.gguf": "weights",
    ]
    for (number, (path, text)) in files.sorted(by: { $0.key < $1.key }).enumerated() {
      try folder.write(text, to: "blobs/\(number)")
      let place = path.hasPrefix("vae/") ? "elsewhere/" + path.dropFirst(4) : "snapshot/" + path
      let link = folder.url.appending(path: place)
      try FileManager.default.createDirectory(at: link.deletingLastPathComponent(), withIntermediateDirectories: true)
      let up = String(repeating: "../", count: place.split(separator: "/").count - 1)
      try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: up + "blobs/\(number)")
    }
    try FileManager.default.createSymbolicLink(
      atPath: folder.url.appending(path: "snapshot/vae").path, withDestinationPath: "../elsewhere")
    return try ModelFolder(url: folder.url.appending(path: "snapshot", directoryHint: .isDirectory))
  }

  /// Every file below `url`, which must all be files and no links.
  private func files(below url: URL) throws -> [String] {
    let files = FileManager.default
    return try files.subpathsOfDirectory(atPath: url.path).sorted().filter { path in
      let type = try files.attributesOfItem(atPath: url.appending(path: path).path)[.type] as? FileAttributeType
      #expect(type == .typeRegular || type == .typeDirectory, "\(path)")
      return type == .typeRegular
    }
  }

  @Test func linksAreFollowed() throws {
    let target = folder.url.appending(path: "copy", directoryHint: .isDirectory)
    try linkedModel().copy(to: target, withoutWeightsOf: [])
    #expect(
      try files(below: target) == [
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json", "vae/config.json", "vae/model.gguf",
      ])
    #expect(try String(contentsOf: target.appending(path: "vae/model.gguf"), encoding: .utf8) == "weights")
  }

  @Test func weightsAreLeftOut() throws {
    let model = try linkedModel()
    let one = folder.url.appending(path: "one", directoryHint: .isDirectory)
    try model.copy(to: one, withoutWeightsOf: ["unet"])
    #expect(
      try files(below: one) == ["model_index.json", "unet/config.json", "vae/config.json", "vae/model.gguf"])
    let none = folder.url.appending(path: "none", directoryHint: .isDirectory)
    try model.copy(to: none, withoutWeightsOf: Set(model.componentClasses.keys))
    #expect(try files(below: none) == ["model_index.json", "unet/config.json", "vae/config.json"])
  }

  @Test func whatCannotBeCopiedIsATypedError() throws {
    let model = try linkedModel()
    let occupied = try folder.write("a file", to: "occupied")
    let unwritable = try #require(throws: CheckpointError.self) {
      try model.copy(to: occupied.appending(path: "copy"), withoutWeightsOf: [])
    }
    #expect(unwritable.kind == .unwritableFile && !unwritable.description.contains("Error Domain"), "\(unwritable)")
    try FileManager.default.removeItem(at: folder.url.appending(path: "blobs/1"))
    let unreadable = try #require(throws: CheckpointError.self) {
      try model.copy(to: folder.url.appending(path: "copy"), withoutWeightsOf: [])
    }
    #expect(unreadable.kind == .unreadableFile && unreadable.file.path.hasSuffix("unet/config.json"), "\(unreadable)")
  }

  @Test func aFolderAppearsWholeOrNotAtAll() throws {
    let target = folder.url.appending(path: "new", directoryHint: .isDirectory)
    do {
      let partial = try PartialFolder(for: target)
      try Data("x".utf8).write(to: partial.url.appending(path: "file"))
      #expect(try folder.contents.count == 1)
    }
    #expect(try folder.contents.isEmpty)
    let partial = try PartialFolder(for: target)
    try Data("x".utf8).write(to: partial.url.appending(path: "file"))
    try partial.commit()
    #expect(try folder.contents == ["new"] && files(below: target) == ["file"])
  }

  /// Something at the target, which may come late, and places where there can be no folder.
  @Test func whatIsThereIsNotOverwritten() throws {
    let target = folder.url.appending(path: "new", directoryHint: .isDirectory)
    let late = try PartialFolder(for: target)
    try folder.write("x", to: "new/file")
    #expect(throws: CheckpointError.self) { try late.commit() }
    for place in ["new", "new/file", "new/file/below", "no/such/place"] {
      let error = try #require(throws: CheckpointError.self, "\(place)") {
        try PartialFolder(for: folder.url.appending(path: place, directoryHint: .isDirectory))
      }
      #expect(error.kind == .unwritableFile && error.file.path.hasSuffix(place), "\(error)")
    }
    #expect(try files(below: folder.url.appending(path: "new")) == ["file"])
  }
}
