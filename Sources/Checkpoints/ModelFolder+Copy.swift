import Foundation

/// Making a model of another: what the programs need that change a component.
extension ModelFolder {
  /// Copies `model_index.json` and all components but `changed` to a new folder, links followed, and makes that one's
  /// folder for the caller to fill.
  ///
  /// - Returns: the folder of `changed`.
  /// - Throws: ``CheckpointError/Kind/unwritableFile`` where there is something at `target` already or a file cannot be
  ///   copied.
  package func copy(to target: URL, without changed: String) throws(CheckpointError) -> URL {
    let files = FileManager.default
    if let found = try? files.contentsOfDirectory(atPath: target.path), !found.isEmpty {
      throw CheckpointError(
        .unwritableFile, file: target, found: "\(found.count) files", expected: "a new or empty folder")
    }
    let component = target.appending(path: changed, directoryHint: .isDirectory)
    try Self.writing(target) {
      try files.createDirectory(at: component, withIntermediateDirectories: true)
      try Self.copyFile(url.appending(path: "model_index.json"), into: target)
    }
    for name in componentClasses.keys.sorted() where name != changed {
      // diffusers' safety checker and the like may be named and not be there.
      guard let source = try? componentURL(name) else { continue }
      let own = target.appending(path: name, directoryHint: .isDirectory)
      try Self.writing(own) {
        try files.createDirectory(at: own, withIntermediateDirectories: true)
        for file in try files.contentsOfDirectory(at: source, includingPropertiesForKeys: [.isRegularFileKey]) {
          let resolved = file.resolvingSymlinksInPath()
          guard try resolved.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
          try Self.copyFile(file, into: own)
        }
      }
    }
    return component
  }

  private static func copyFile(_ file: URL, into folder: URL) throws {
    try FileManager.default.copyItem(
      at: file.resolvingSymlinksInPath(), to: folder.appending(path: file.lastPathComponent))
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
