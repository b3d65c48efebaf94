import Foundation
import Quantization
import Tensors

/// The types of tensors in GGUF files that can be read.
enum GGUFType: UInt32, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q4 = 2
  case q8 = 8
  case bf16 = 30

  var dataType: TensorDataType {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    case .q4, .q8: .uint8
    }
  }

  private var blocks: BlockFormat? {
    switch self {
    case .q4: .q4
    case .q8: .q8
    default: nil
    }
  }

  var encoding: TensorEncoding { blocks.map(TensorEncoding.blocks) ?? .plain }

  /// nil where it overflows, or rows do not fill blocks.
  func byteCount(of shape: Shape) -> Int? {
    if let blocks {
      guard shape.rank > 0, shape[-1] % BlockFormat.blockSize == 0 else { return nil }
      return blocks.byteCount(of: shape.count)
    }
    let (bytes, overflow) = shape.count.multipliedReportingOverflow(by: dataType.byteCount)
    return overflow ? nil : bytes
  }
}

/// A GGUF file, mapped into memory and checked in full before anything is read from it: tensors of the types F32, F16,
/// BF16, Q8_0 and Q4_0.
///
/// The file must not be shortened while it is open.
public struct GGUFFile: TensorFile {
  public var url: URL { file.url }

  /// The strings of the header, such as `general.architecture`.
  public let metadata: [String: String]

  private let file: MappedFile
  private let bufferStart: Int
  private let entries: [String: SafetensorsEntry]

  /// Maps the file at `url` and reads its header.
  ///
  /// - Throws: ``CheckpointError/Kind/unreadableFile`` or ``CheckpointError/Kind/malformedGGUF``.
  public init(url: URL) throws(CheckpointError) {
    let file = try MappedFile(url: url)
    let header = file.withBytes(in: 0..<file.count) { bytes in
      Result { () throws(JSONScanner.Failure) in try GGUFHeader(bytes) }
    }
    switch header {
    case .success(let header):
      metadata = header.strings
      bufferStart = header.bufferStart
      entries = header.entries
    case .failure(let error):
      throw CheckpointError(.malformedGGUF, file: url, key: error.key, found: error.found, expected: error.expected)
    }
    self.file = file
  }

  /// The tensors' names, sorted.
  public var names: [String] { entries.keys.sorted() }

  public var storageFormat: StorageFormat? { nil }

  /// The type and shape of the tensor called `name`, the outermost dimension first.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func entry(_ name: String) throws(CheckpointError) -> SafetensorsEntry {
    guard let entry = entries[name] else {
      throw CheckpointError(.missingTensor, file: url, key: name, found: "nothing", expected: "a tensor")
    }
    return entry
  }

  /// The elements of the tensor called `name`, row-major.
  ///
  /// - Parameter shape: the shape that the tensor must have, or `nil` to take any.
  /// - Throws: ``CheckpointError/Kind/missingTensor``, ``CheckpointError/Kind/misshapenTensor`` or, for a block whose
  ///   step is not finite, ``CheckpointError/Kind/malformedGGUF``.
  public func floats(_ name: String, shape: Shape? = nil) throws(CheckpointError) -> [Float] {
    let entry = try entry(name)
    if let shape, shape != entry.shape {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "shape \(entry.shape)", expected: "\(shape)")
    }
    var floats = [Float](repeating: 0, count: entry.shape.count)
    try floats.withUnsafeMutableBufferPointer { buffer throws(CheckpointError) in try read(name, into: buffer) }
    return floats
  }

  /// Writes the elements of the tensor called `name` to `destination`, which must have room for exactly as many.
  ///
  /// - Throws: as ``floats(_:shape:)`` does.
  public func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CheckpointError) {
    let entry = try entry(name)
    guard entry.shape.count == destination.count else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "\(entry.shape.count) elements",
        expected: "\(destination.count)")
    }
    file.withBytes(in: range(of: entry)) { bytes in
      switch (entry.encoding, entry.dataType) {
      case (.blocks(let format), _): format.decode(bytes, into: destination)
      case (_, .float16): HalfPrecision.widen(binary16: bytes, to: destination)
      case (_, .bfloat16): HalfPrecision.widen(bfloat16: bytes, to: destination)
      default: UnsafeMutableRawBufferPointer(destination).copyMemory(from: bytes)
      }
    }
    guard entry.encoding == .plain || destination.allSatisfy(\.isFinite) else {
      throw CheckpointError(
        .malformedGGUF, file: url, key: name, found: "a step that is not finite", expected: "finite numbers")
    }
  }

  /// Frees the memory that reading the tensor called `name` has taken; it can be read again.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``.
  public func discard(_ name: String) throws(CheckpointError) {
    file.discard(range(of: try entry(name)))
  }

  private func range(of entry: SafetensorsEntry) -> Range<Int> {
    (bufferStart + entry.range.lowerBound)..<(bufferStart + entry.range.upperBound)
  }
}
