import CKernels

/// How packed weights are stored. Activations are floats in any case, and so are the sums of products.
public enum WeightFormat: String, CaseIterable, Sendable {
  case float32
  /// Half the memory at the speed of ``float32``: the weights are rounded to halves, and nothing else is. Beyond 65504
  /// they are infinite.
  case float16
  /// Eight bits of precision. With AVX-512-BF16 inputs are rounded to the same, and products take half the time, with AMX
  /// much less; elsewhere the inputs stay as they are.
  case bfloat16
  /// 127 steps to either side of 0, of a size of its own for each output; every pixel of the input is rounded to 255
  /// steps between its least and its largest channel. With VNNI, products take a quarter of the time, with AMX
  /// less; the bits are the same on every instruction set.
  case int8

  var kernelFormat: fs_format {
    switch self {
    case .float32: FS_FLOAT32
    case .float16: FS_FLOAT16
    case .bfloat16: FS_BFLOAT16
    case .int8: FS_INT8
    }
  }

  /// Calls `body` with the operation, to which its `count` pixels are added as the kernels of its format make them.
  static func withPixels(of operation: fs_convolution, count: Int, _ body: (fs_convolution) -> Void) {
    let bytes = Int(fs_pixel_bytes(operation.format, operation.channels))
    guard count > 0, bytes > 0 else { return body(operation) }
    let storage = DenseStorage<Float>(count: count * bytes / MemoryLayout<Float>.stride)
    withExtendedLifetime(storage) {
      // Every task reads and writes pixels of its own.
      nonisolated(unsafe) let input = operation.input!
      nonisolated(unsafe) let pixels = UnsafeMutableRawPointer(storage.elements.baseAddress!)
      ThreadPool.forEachRange(count, grain: 1 + 16384 / bytes) { range in
        fs_convert_pixels(
          operation.format, pixels + range.lowerBound * bytes,
          input + range.lowerBound * Int(operation.input_stride), operation.input_stride, Int64(range.count),
          operation.channels)
      }
      var operation = operation
      operation.pixels = UnsafeRawPointer(pixels)
      body(operation)
    }
  }
}
