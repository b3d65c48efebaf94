import Foundation

/// A model in the layout of diffusers: a folder with `model_index.json` and one folder for each component (`unet`,
/// `vae`, `text_encoder`, `tokenizer`, `scheduler`).
public struct ModelFolder: Sendable {
  /// The class that implements a component in Python, such as `diffusers`' `UNet2DConditionModel`.
  public struct ComponentClass: Hashable, Sendable {
    public let library: String
    public let name: String
  }

  /// The model's folder.
  public let url: URL

  /// A second folder, where the components that the first one lacks are looked up.
  public let sharing: URL?

  /// The pipeline's class, `_class_name` in `model_index.json`, such as `StableDiffusionPipeline`.
  public let className: String

  /// The class of each component that `model_index.json` names; components given as null are left out.
  public let componentClasses: [String: ComponentClass]

  /// Opens the model in the folder `url` by reading its `model_index.json`.
  ///
  /// - Parameter sharing: a second model's folder to take components from that the first one lacks.
  /// - Throws: ``CheckpointError/Kind/unreadableFile``, ``CheckpointError/Kind/malformedJSON`` or, where the pipeline's
  ///   class is not named, ``CheckpointError/Kind/badConfiguration``.
  public init(url: URL, sharing: URL? = nil) throws(CheckpointError) {
    self.url = url
    self.sharing = sharing
    let index = url.appending(path: "model_index.json", directoryHint: .notDirectory)
    var className: String?
    var classes: [String: ComponentClass] = [:]
    try scanJSON(index) { scanner throws(JSONScanner.Failure) in
      try scanner.object { scanner, key throws(JSONScanner.Failure) in
        if key == "_class_name" {
          className = try scanner.string()
        } else if scanner.peek() == UInt8(ascii: "[") {
          classes[key] = try Self.componentClass(&scanner)
        } else {
          try scanner.value()
        }
      }
    }
    guard let className else {
      throw CheckpointError(
        .badConfiguration, file: index, key: "_class_name", found: "nothing", expected: "the pipeline's class")
    }
    self.className = className
    componentClasses = classes
  }

  /// The folder of the component called `name`.
  ///
  /// - Throws: ``CheckpointError/Kind/unreadableFile`` where no folder has it.
  public func componentURL(_ name: String) throws(CheckpointError) -> URL {
    let folders = isPlainName(name) ? [url, sharing].compactMap { $0?.appending(path: name) } : []
    for folder in folders {
      var isFolder = ObjCBool(false)
      if FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue {
        return folder
      }
    }
    throw CheckpointError(
      .unreadableFile, file: url, key: name, found: "no such folder", expected: "the component's folder")
  }

  /// The configuration of the component called `component`, decoded from the file called `file`.
  ///
  /// A key that comes twice is refused, and so is a fraction where `type` wants an integer. `NaN`, `Infinity` and
  /// `-Infinity`, which Python writes, are read as numbers.
  ///
  /// - Throws: ``CheckpointError/Kind/unreadableFile``, ``CheckpointError/Kind/malformedJSON``, or
  ///   ``CheckpointError/Kind/badConfiguration`` with the path to the key. For a `DecodingError.dataCorrupted` that
  ///   `type` throws itself, the debug description becomes ``CheckpointError/expected``.
  public func configuration<Configuration: Decodable>(
    _ type: Configuration.Type, component: String, file: String = "config.json"
  ) throws(CheckpointError) -> Configuration {
    try decodeJSON(type, from: configurationURL(component: component, file: file))
  }

  /// Where ``configuration(_:component:file:)`` reads, for the errors of callers that check values further.
  ///
  /// - Throws: ``CheckpointError/Kind/unreadableFile`` where no folder has the component.
  public func configurationURL(component: String, file: String = "config.json") throws(CheckpointError) -> URL {
    try componentURL(component).appending(path: file, directoryHint: .notDirectory)
  }

  /// The weights of the component called `component`.
  ///
  /// - Throws: ``CheckpointError`` as ``componentURL(_:)`` and ``WeightStore/init(folder:)`` do.
  public func weights(component: String) throws(CheckpointError) -> WeightStore {
    try WeightStore(folder: componentURL(component))
  }

  /// Reads `["library", "class"]`, or `[null, null]` as `nil`, and passes over other arrays.
  private static func componentClass(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> ComponentClass? {
    var names: [String?] = []
    try scanner.array { scanner throws(JSONScanner.Failure) in
      if scanner.peek() == UInt8(ascii: "\"") {
        try names.append(scanner.string())
      } else {
        try scanner.value()
        names.append(nil)
      }
    }
    guard names.count == 2, let library = names[0], let name = names[1] else { return nil }
    return ComponentClass(library: library, name: name)
  }
}
