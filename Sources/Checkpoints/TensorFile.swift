import Foundation
import Tensors

/// A file of named tensors, whatever its format.
protocol TensorFile: Sendable {
  var url: URL { get }
  var names: [String] { get }
  /// nil where the file was not quantized ahead of time by this package.
  var storageFormat: StorageFormat? { get }
  func entry(_ name: String) throws(CheckpointError) -> SafetensorsEntry
  func floats(_ name: String, shape: Shape?) throws(CheckpointError) -> [Float]
  /// Frees the memory that reading a tensor has taken; it can be read again.
  func discard(_ name: String) throws(CheckpointError)
  func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CheckpointError)
}

extension SafetensorsFile: TensorFile {}
