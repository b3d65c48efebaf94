import Foundation
import Tensors

/// The weights of one component of a model, from one safetensors file or from several shards.
///
/// It notes which tensors have been read, so that a loader can report those it did not know (``unreadNames``). It can
/// be used by many threads.
public final class WeightStore: Sendable {
  /// The names the weights of a component go by, in the order they are looked for: diffusers', then transformers'.
  private static let fileNames = ["diffusion_pytorch_model.safetensors", "model.safetensors"]
  private static let otherFileNames = ["diffusion_pytorch_model.gguf", "model.gguf"]

  /// The component's folder.
  public let folder: URL

  private let files: [String: any TensorFile]
  private let unread: Lock<Set<String>>

  /// Opens the weights in `folder`: `diffusion_pytorch_model.safetensors` or `model.safetensors`, or the shards that
  /// `diffusion_pytorch_model.safetensors.index.json` or `model.safetensors.index.json` lists, or a GGUF file of either
  /// name.
  ///
  /// - Throws: ``CheckpointError`` where there is none of these, an index is malformed or names a file outside the
  ///   folder, a shard lacks a tensor, or a file is no safetensors.
  public init(folder: URL) throws(CheckpointError) {
    self.folder = folder
    func existing(_ suffix: String) -> URL? {
      Self.fileNames.map { folder.appending(path: $0 + suffix, directoryHint: .notDirectory) }
        .first { FileManager.default.fileExists(atPath: $0.path) }
    }
    if let single = existing("") {
      let file = try SafetensorsFile(url: single)
      files = Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) })
    } else if let index = existing(".index.json") {
      files = try Self.shards(listedIn: index)
    } else if let other = Self.otherFileNames.first(where: {
      FileManager.default.fileExists(atPath: folder.appending(path: $0).path)
    }) {
      let file = try GGUFFile(url: folder.appending(path: other, directoryHint: .notDirectory))
      files = Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) })
    } else {
      let names = (Self.fileNames.flatMap { [$0, $0 + ".index.json"] } + Self.otherFileNames).joined(separator: ", ")
      throw CheckpointError(.unreadableFile, file: folder, found: "no weights", expected: "one of \(names)")
    }
    unread = Lock(Set(files.keys))
  }

  /// How the matrices are stored where the model was quantized ahead of time.
  public var storageFormat: StorageFormat? { files.values.lazy.compactMap(\.storageFormat).first }

  /// The tensors' names, sorted.
  public var names: [String] { files.keys.sorted() }

  /// The names, sorted, of the tensors that no call has read yet.
  public var unreadNames: [String] { unread.withLock { $0.sorted() } }

  /// Whether there is a tensor called `name`.
  public func contains(_ name: String) -> Bool { files[name] != nil }

  /// The type and shape of the tensor called `name`. Does not count as reading it.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func entry(_ name: String) throws(CheckpointError) -> SafetensorsEntry {
    try file(of: name).entry(name)
  }

  /// Refuses a tensor of another shape, without reading it.
  ///
  /// - Throws: ``CheckpointError`` where the tensor is missing or misshapen.
  public func check(_ name: String, shape: Shape) throws(CheckpointError) {
    let found = try entry(name).shape
    guard shape == found else {
      throw CheckpointError(
        .misshapenTensor, file: try file(of: name).url, key: name, found: "shape \(found)", expected: "\(shape)")
    }
  }

  /// The elements of the tensor called `name`, as ``SafetensorsFile/floats(_:shape:)`` reads them.
  ///
  /// - Throws: ``CheckpointError`` where the tensor is missing, misshapen or not of a floating-point type.
  public func floats(_ name: String, shape: Shape? = nil) throws(CheckpointError) -> [Float] {
    let file = try file(of: name)
    let floats = try file.floats(name, shape: shape)
    // Whoever asks for floats keeps them: the file's own would be in memory a second time.
    try file.discard(name)
    markRead(name)
    return floats
  }

  /// Writes the elements of the tensor called `name` to `destination`, as ``SafetensorsFile/read(_:into:)`` does.
  ///
  /// - Parameter shape: the shape that the tensor must have, or `nil` to take any of `destination`'s size.
  /// - Throws: ``CheckpointError`` where the tensor is missing, misshapen or not of a floating-point type.
  public func read(
    _ name: String, shape: Shape? = nil, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(CheckpointError) {
    let file = try file(of: name)
    if let shape { try check(name, shape: shape) }
    try file.read(name, into: destination)
    try file.discard(name)
    markRead(name)
  }

  private func markRead(_ name: String) {
    unread.withLock { _ = $0.remove(name) }
  }

  private func file(of name: String) throws(CheckpointError) -> any TensorFile {
    guard let file = files[name] else {
      throw CheckpointError(
        .missingTensor, file: files.values.first?.url ?? folder, key: name, found: "nothing", expected: "a tensor")
    }
    return file
  }

  /// The shard of each tensor in the index's `weight_map`.
  private static func shards(listedIn index: URL) throws(CheckpointError) -> [String: SafetensorsFile] {
    let folder = index.deletingLastPathComponent()
    var shards: [String: SafetensorsFile] = [:]
    var files: [String: SafetensorsFile] = [:]
    for (tensor, shard) in try weightMap(index) {
      guard isPlainName(shard) else {
        throw CheckpointError(
          .malformedJSON, file: index, key: "weight_map.\(tensor)", found: quoted(shard),
          expected: "the name of a file in the same folder")
      }
      if shards[shard] == nil {
        shards[shard] = try SafetensorsFile(url: folder.appending(path: shard, directoryHint: .notDirectory))
      }
      _ = try shards[shard]?.entry(tensor)
      files[tensor] = shards[shard]
    }
    return files
  }

  private static func weightMap(_ index: URL) throws(CheckpointError) -> [String: String] {
    var map: [String: String]?
    try scanJSON(index) { scanner throws(JSONScanner.Failure) in
      try scanner.object { scanner, key throws(JSONScanner.Failure) in
        guard key == "weight_map" else { return _ = try scanner.value() }
        var pairs: [String: String] = [:]
        try scanner.object { scanner, tensor throws(JSONScanner.Failure) in pairs[tensor] = try scanner.string() }
        map = pairs
      }
    }
    guard let map else {
      throw CheckpointError(.malformedJSON, file: index, key: "weight_map", found: "nothing", expected: "an object")
    }
    return map
  }
}
