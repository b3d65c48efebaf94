import Foundation

/// Making a model of another: what the programs need that change a component.
extension ModelFolder {
  /// Copies `model_index.json` and all components to another folder, links followed: a cache of Hugging Face's has
  /// nothing else. A component's own folder is there afterwards in any case.
  ///
  /// - Parameter changed: components whose configuration alone is copied, JSON and text: their weights are the caller's
  ///   to write.
  /// - Throws: ``CheckpointError/Kind/unreadableFile`` for what cannot be read, ``CheckpointError/Kind/unwritableFile``
  ///   for what cannot be written.
  package func copy(to target: URL, withoutWeightsOf changed: Set<String>) throws(CheckpointError) {
    let files = FileManager.default
    try Self.writing(target) { try files.createDirectory(at: target, withIntermediateDirectories: true) }
    try Self.copyFile(url.appending(path: "model_index.json", directoryHint: .notDirectory), into: target)
    for name in componentClasses.keys.sorted() {
      // diffusers' safety checker and the like may be named and not be there.
      guard let source = try? componentURL(name) else { continue }
      let own = target.appending(path: name, directoryHint: .isDirectory)
      try Self.writing(own) { try files.createDirectory(at: own, withIntermediateDirectories: true) }
      for file in try Self.reading(source, { try files.contentsOfDirectory(atPath: source.path).sorted() })
      where !changed.contains(name) || Self.isConfiguration(file) {
        try Self.copyFile(source.appending(path: file, directoryHint: .notDirectory), into: own)
      }
    }
  }

  /// Whether a file of a component is not about weights. Indices of shards are.
  private static func isConfiguration(_ name: String) -> Bool {
    (name.hasSuffix(".json") || name.hasSuffix(".txt")) && !name.hasSuffix(".index.json")
  }

  /// Copies what a link leads to, where that is a file.
  private static func copyFile(_ file: URL, into folder: URL) throws(CheckpointError) {
    var status = stat()
    guard stat(file.path, &status) == 0 else { throw .system(.unreadableFile, file: file, expected: "a file") }
    guard status.st_mode & S_IFMT == S_IFREG else { return }
    try writing(folder) {
      try FileManager.default.copyItem(
        at: file.resolvingSymlinksInPath(), to: folder.appending(path: file.lastPathComponent))
    }
  }

  private static func reading<Result>(_ place: URL, _ body: () throws -> Result) throws(CheckpointError) -> Result {
    do {
      return try body()
    } catch {
      throw CheckpointError(
        .unreadableFile, file: place, found: error.localizedDescription, expected: "something that can be read")
    }
  }

  private static func writing(_ place: URL, _ body: () throws -> Void) throws(CheckpointError) {
    do {
      try body()
    } catch {
      throw CheckpointError(
        .unwritableFile, file: place, found: error.localizedDescription, expected: "a folder that can be written to")
    }
  }

  /// Writes a component's configuration with `key` set to `value` to a folder.
  package func writeConfiguration(
    component: String, setting key: String, to value: JSONValue, in folder: URL
  ) throws(CheckpointError) {
    var members = try configuration([String: JSONValue].self, component: component)
    members[key] = value
    let file = folder.appending(path: "config.json", directoryHint: .notDirectory)
    try Self.writing(file) {
      try Data((JSONValue.object(members).json() + "\n").utf8).write(to: file, options: .atomic)
    }
  }
}

extension JSONValue {
  /// The value as JSON, keys sorted; numbers as Python writes them.
  package func json(indent: String = "") -> String {
    let inner = indent + "  "
    func list(_ elements: [String], _ ends: (String, String)) -> String {
      guard !elements.isEmpty else { return ends.0 + ends.1 }
      return "\(ends.0)\n\(inner)" + elements.joined(separator: ",\n" + inner) + "\n\(indent)\(ends.1)"
    }
    switch self {
    case .null: return "null"
    case .bool(let value): return "\(value)"
    case .number(let value):
      if value.isNaN { return "NaN" }
      if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
      return integer.map(String.init) ?? "\(value)"
    case .string(let value): return SafetensorsWriter.literal(value)
    case .array(let values): return list(values.map { $0.json(indent: inner) }, ("[", "]"))
    case .object(let members):
      return list(
        members.sorted { $0.key < $1.key }.map {
          "\(SafetensorsWriter.literal($0.key)): \($0.value.json(indent: inner))"
        },
        ("{", "}"))
    }
  }
}
