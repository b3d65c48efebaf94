import CKernels
import Tensors

/// An element type of ``DenseTensor``: Float, Double, and Float16 where the platform has it.
public protocol DenseScalar: BinaryFloatingPoint, Sendable {
  /// output := Σ cᵢ xᵢ, every element summed in double precision and rounded once.
  static func combine(
    _ coefficients: [Double], _ inputs: [UnsafePointer<Self>], into output: UnsafeMutableBufferPointer<Self>)
}

extension DenseScalar {
  public static func combine(
    _ coefficients: [Double], _ inputs: [UnsafePointer<Self>], into output: UnsafeMutableBufferPointer<Self>
  ) {
    for index in output.indices {
      var sum = 0.0
      for (coefficient, input) in zip(coefficients, inputs) {
        sum += coefficient * Double(input[index])
      }
      output[index] = Self(sum)
    }
  }
}

extension Double: DenseScalar {}

extension Float: DenseScalar {
  public static func combine(
    _ coefficients: [Double], _ inputs: [UnsafePointer<Float>], into output: UnsafeMutableBufferPointer<Float>
  ) {
    fs_combine(
      output.baseAddress, coefficients, inputs.map(Optional.some), Int64(inputs.count), Int64(output.count))
  }
}

#if !(os(macOS) && arch(x86_64))
  extension Float16: DenseScalar {}

  extension DenseTensor where Scalar == Float {
    /// The elements widened; exact.
    public init(_ other: DenseTensor<Float16>) {
      self.init(uninitialized: other.shape)
      other.storage.elements.withMemoryRebound(to: UInt16.self) { halves in
        fs_half_to_float(storage.elements.baseAddress, halves.baseAddress, Int64(shape.count))
      }
    }
  }

  extension DenseTensor where Scalar == Float16 {
    /// The elements rounded to the nearest half, ties to even; beyond 65504 infinite.
    public init(_ other: DenseTensor<Float>) {
      self.init(uninitialized: other.shape)
      storage.elements.withMemoryRebound(to: UInt16.self) { halves in
        fs_float_to_half(halves.baseAddress, other.storage.elements.baseAddress, Int64(shape.count))
      }
    }
  }
#endif
