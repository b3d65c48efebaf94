import Quantization
import Tensors

/// Reading with conversion to the type a caller computes in.
extension SafetensorsFile {
  /// The elements of the tensor called `name`, row-major: of type F32, F16 or BF16, which convert exactly, or F64,
  /// rounded to nearest; and the numbers that a quantized file has levels or blocks of.
  ///
  /// - Parameter shape: the shape that the tensor must have, or `nil` to take any.
  /// - Throws: ``CheckpointError/Kind/missingTensor``, ``CheckpointError/Kind/misshapenTensor`` or
  ///   ``CheckpointError/Kind/wrongDataType``.
  public func floats(_ name: String, shape: Shape? = nil) throws(CheckpointError) -> [Float] {
    let count = try checkedEntry(name, shape: shape, types: Self.floatTypes).shape.count
    var floats = [Float](repeating: 0, count: count)
    try floats.withUnsafeMutableBufferPointer { buffer throws(CheckpointError) in try read(name, into: buffer) }
    return floats
  }

  /// Writes the elements of the tensor called `name` to `destination`, which must have room for exactly as many.
  /// Types as in ``floats(_:shape:)``.
  ///
  /// - Throws: ``CheckpointError/Kind/missingTensor``, ``CheckpointError/Kind/misshapenTensor`` or
  ///   ``CheckpointError/Kind/wrongDataType``.
  public func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CheckpointError) {
    let entry = try checkedEntry(name, shape: nil, types: Self.floatTypes)
    guard entry.shape.count == destination.count else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "\(entry.shape.count) elements",
        expected: "\(destination.count)")
    }
    guard entry.encoding == .plain else { return try decode(entry, name: name, into: destination) }
    try withUnsafeBytes(of: name) { bytes in
      switch entry.dataType {
      case .float32: UnsafeMutableRawBufferPointer(destination).copyMemory(from: bytes)
      case .float16: HalfPrecision.widen(binary16: bytes, to: destination)
      case .bfloat16: HalfPrecision.widen(bfloat16: bytes, to: destination)
      default: for index in destination.indices { destination[index] = Float(bytes.element(index, as: Double.self)) }
      }
    }
  }

  /// The elements of the tensor called `name`, row-major: of type F64, F32, F16 or BF16, all exact.
  ///
  /// - Parameter shape: the shape that the tensor must have, or `nil` to take any.
  /// - Throws: ``CheckpointError/Kind/missingTensor``, ``CheckpointError/Kind/misshapenTensor`` or
  ///   ``CheckpointError/Kind/wrongDataType``.
  public func doubles(_ name: String, shape: Shape? = nil) throws(CheckpointError) -> [Double] {
    let entry = try checkedEntry(name, shape: shape, types: Self.floatTypes)
    guard entry.dataType == .float64 else { return try floats(name).map(Double.init) }
    return try withUnsafeBytes(of: name) { bytes in
      (0..<entry.shape.count).map { bytes.element($0, as: Double.self) }
    }
  }

  /// The elements of the tensor called `name`, row-major: of any integer type but U64, all exact.
  ///
  /// - Parameter shape: the shape that the tensor must have, or `nil` to take any.
  /// - Throws: ``CheckpointError/Kind/missingTensor``, ``CheckpointError/Kind/misshapenTensor`` or
  ///   ``CheckpointError/Kind/wrongDataType``.
  public func int64s(_ name: String, shape: Shape? = nil) throws(CheckpointError) -> [Int64] {
    let types: [TensorDataType] = [.int64, .int32, .int16, .int8, .uint32, .uint16, .uint8]
    let entry = try checkedEntry(name, shape: shape, types: types)
    return try withUnsafeBytes(of: name) { bytes in
      (0..<entry.shape.count).map { index in
        switch entry.dataType {
        case .int32: Int64(bytes.element(index, as: Int32.self))
        case .int16: Int64(bytes.element(index, as: Int16.self))
        case .int8: Int64(bytes.element(index, as: Int8.self))
        case .uint32: Int64(bytes.element(index, as: UInt32.self))
        case .uint16: Int64(bytes.element(index, as: UInt16.self))
        case .uint8: Int64(bytes.element(index, as: UInt8.self))
        default: bytes.element(index, as: Int64.self)
        }
      }
    }
  }

  /// Writes the numbers of levels or blocks.
  private func decode(
    _ entry: SafetensorsEntry, name: String, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(CheckpointError) {
    withBytes(in: entry.range) { bytes in
      switch entry.encoding {
      case .plain: break
      case .blocks(let format): format.decode(bytes, into: destination)
      case .levels(let steps):
        withBytes(in: steps) { steps in
          let outputs = steps.count / MemoryLayout<Float>.size
          let size = destination.count / max(outputs, 1)
          for output in 0..<outputs {
            let step = steps.element(output, as: Float.self)
            for index in output * size..<(output + 1) * size {
              destination[index] = Float(bytes.element(index, as: Int8.self)) * step
            }
          }
        }
      }
    }
    guard destination.allSatisfy(\.isFinite) else {
      throw CheckpointError(
        .malformedSafetensors, file: url, key: name, found: "a step that is not finite", expected: "finite numbers")
    }
  }

  private static var floatTypes: [TensorDataType] { [.float32, .float16, .bfloat16, .float64] }

  private func checkedEntry(
    _ name: String, shape: Shape?, types: [TensorDataType]
  ) throws(CheckpointError) -> SafetensorsEntry {
    let entry = try entry(name)
    let isDecoded = entry.encoding != .plain && types == Self.floatTypes
    guard isDecoded || types.contains(entry.dataType) else {
      throw CheckpointError(
        .wrongDataType, file: url, key: name, found: entry.dataType.rawValue,
        expected: "one of \(types.map(\.rawValue).joined(separator: ", "))")
    }
    if let shape, shape != entry.shape {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "shape \(entry.shape)", expected: "\(shape)")
    }
    return entry
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func element<Element: BitwiseCopyable>(_ index: Int, as type: Element.Type) -> Element {
    loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.size, as: type)
  }
}
