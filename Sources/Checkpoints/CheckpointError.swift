import Foundation

/// What is wrong with a file of a model: which file, where in it, what was found and what was expected.
///
/// Its ``description`` is one line, whatever the file contained:
///
///     unet/config.json: key `act_fn`: found "tanh", expected one of "silu", "gelu"
public struct CheckpointError: Error, Hashable, Sendable {
  /// The kind of fault, for callers that treat some of them differently.
  public enum Kind: Hashable, Sendable {
    /// A file or folder is missing, or cannot be opened, read or mapped.
    case unreadableFile
    /// A file cannot be written.
    case unwritableFile
    /// A file is not JSON, or has a key twice, or lacks a key.
    case malformedJSON
    /// A file breaks the safetensors format.
    case malformedSafetensors
    /// A file breaks the GGUF format, or has tensors of a type that cannot be read.
    case malformedGGUF
    /// The weights have no tensor of this name.
    case missingTensor
    /// A tensor has another shape, or another number of elements, than asked for.
    case misshapenTensor
    /// A tensor's elements are of a type that cannot be read as asked.
    case wrongDataType
    /// A configuration's value is of the wrong type, or is not supported.
    case badConfiguration
    /// A tokenizer's files are inconsistent, or not in CLIP's format.
    case malformedTokenizer
  }

  public let kind: Kind

  /// The file, or the folder where a file was looked for.
  public let file: URL

  /// The tensor's name or the path to the configuration's key, its parts joined by dots; `nil` where the whole file
  /// is at fault.
  public let key: String?

  public let found: String
  public let expected: String

  public init(_ kind: Kind, file: URL, key: String? = nil, found: String, expected: String) {
    self.kind = kind
    self.file = file
    self.key = key
    self.found = found
    self.expected = expected
  }
}

extension CheckpointError: CustomStringConvertible, LocalizedError {
  public var description: String {
    let place = key.map { ": \(subject) `\(Self.printable($0))`" } ?? ""
    return "\(fileLabel)\(place): found \(Self.printable(found)), expected \(Self.printable(expected))"
  }

  public var errorDescription: String? { description }

  /// The file's name with its folder's, which tells `unet/config.json` from `vae/config.json`.
  private var fileLabel: String {
    Self.printable(file.pathComponents.suffix(2).filter { $0 != "/" }.joined(separator: "/"))
  }

  private var subject: String {
    switch kind {
    case .malformedSafetensors, .malformedGGUF, .missingTensor, .misshapenTensor, .wrongDataType: "tensor"
    case .malformedTokenizer: "token"
    default: "key"
    }
  }

  /// `text` without control characters and of bounded length: it may come from a hostile file.
  private static func printable(_ text: String) -> String {
    let limit = 200
    var line = ""
    for scalar in text.unicodeScalars.prefix(limit) {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
      default: line.unicodeScalars.append(scalar)
      }
    }
    return text.unicodeScalars.dropFirst(limit).isEmpty ? line : line + "…"
  }

  /// The error for a failed system call that left its reason in `errno`.
  static func system(_ kind: Kind, file: URL, expected: String) -> CheckpointError {
    CheckpointError(kind, file: file, found: String(cString: strerror(errno)), expected: expected)
  }
}

/// `text` in quotation marks, as ``CheckpointError/found`` shows a string from a file.
func quoted(_ text: String) -> String { "\"\(text)\"" }
