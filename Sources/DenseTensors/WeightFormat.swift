import CKernels

/// How packed weights are stored. Activations are floats in any case, and so are the sums of products.
public enum WeightFormat: String, CaseIterable, Sendable {
  /// With AMX, and from 320 channels on, floats are multiplied in pieces of eight bits, in about half the time and no
  /// less exactly.
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
}
