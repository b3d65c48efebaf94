import CKernels
import Tensors

/// An element type of ``DenseTensor``: Float, Double, and Float16 where the platform has it.
public protocol DenseScalar: BinaryFloatingPoint, Sendable {
  /// output := Σ cᵢ xᵢ + Σ cⱼ zⱼ, every element summed in double precision and rounded once.
  static func combine(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Self>?>,
    noises: [NoiseTerm], into output: UnsafeMutableBufferPointer<Self>)

  /// sum := carry × sum + Σ cᵢ xᵢ; returns the sum of the squares of Σ cᵢ xᵢ.
  static func accumulate(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Self>?>, carry: Double,
    into sum: UnsafeMutableBufferPointer<Self>
  ) -> Double

  /// Σ xᵢ yᵢ in double precision.
  static func innerProduct(_ left: UnsafeBufferPointer<Self>, _ right: UnsafeBufferPointer<Self>) -> Double

  /// Σ xᵢ in double precision.
  static func sum(_ values: UnsafeBufferPointer<Self>) -> Double

  /// Limits every element; what is not a number stays so.
  static func clamp(_ values: UnsafeMutableBufferPointer<Self>, to bounds: ClosedRange<Double>)
}

extension DenseScalar {
  public static func combine(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Self>?>,
    noises: [NoiseTerm], into output: UnsafeMutableBufferPointer<Self>
  ) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: output.count) { sums in
      for index in output.indices {
        var sum = 0.0
        for (coefficient, input) in zip(coefficients, inputs) {
          sum += coefficient * Double(input![index])
        }
        sums[index] = sum
      }
      for noise in noises {
        noise.field.forEach(count: output.count) { sums[$0] += noise.coefficient * $1 }
      }
      for index in output.indices { output[index] = Self(sums[index]) }
    }
  }

  public static func accumulate(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Self>?>, carry: Double,
    into sum: UnsafeMutableBufferPointer<Self>
  ) -> Double {
    var squares = 0.0
    for index in sum.indices {
      var difference = 0.0
      for (coefficient, input) in zip(coefficients, inputs) {
        difference += coefficient * Double(input![index])
      }
      squares += difference * difference
      sum[index] = Self(carry * Double(sum[index]) + difference)
    }
    return squares
  }

  public static func innerProduct(_ left: UnsafeBufferPointer<Self>, _ right: UnsafeBufferPointer<Self>) -> Double {
    var sum = 0.0
    for index in left.indices { sum += Double(left[index]) * Double(right[index]) }
    return sum
  }

  public static func sum(_ values: UnsafeBufferPointer<Self>) -> Double {
    var sum = 0.0
    for index in values.indices { sum += Double(values[index]) }
    return sum
  }

  public static func clamp(_ values: UnsafeMutableBufferPointer<Self>, to bounds: ClosedRange<Double>) {
    let (low, high) = (Self(bounds.lowerBound), Self(bounds.upperBound))
    for index in values.indices { values[index] = min(max(values[index], low), high) }
  }
}

extension Double: DenseScalar {}

extension Float: DenseScalar {
  public static func combine(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Float>?>,
    noises: [NoiseTerm], into output: UnsafeMutableBufferPointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: fs_noise.self, capacity: noises.count) { fields in
      for (index, noise) in noises.enumerated() {
        fields[index] = fs_noise(
          coefficient: noise.coefficient, seed: noise.field.seed, image: noise.field.image,
          stream: noise.field.stream)
      }
      fs_combine(
        output.baseAddress, coefficients.baseAddress, inputs.baseAddress, Int64(inputs.count), fields.baseAddress,
        Int64(noises.count), Int64(output.count))
    }
  }

  public static func accumulate(
    _ coefficients: UnsafeBufferPointer<Double>, _ inputs: UnsafeBufferPointer<UnsafePointer<Float>?>, carry: Double,
    into sum: UnsafeMutableBufferPointer<Float>
  ) -> Double {
    fs_accumulate(
      sum.baseAddress, carry, coefficients.baseAddress, inputs.baseAddress, Int64(inputs.count), Int64(sum.count))
  }

  public static func innerProduct(
    _ left: UnsafeBufferPointer<Float>, _ right: UnsafeBufferPointer<Float>
  ) -> Double {
    fs_inner_product(left.baseAddress, right.baseAddress, Int64(left.count))
  }

  public static func sum(_ values: UnsafeBufferPointer<Float>) -> Double {
    fs_sum(values.baseAddress, Int64(values.count))
  }

  public static func clamp(_ values: UnsafeMutableBufferPointer<Float>, to bounds: ClosedRange<Double>) {
    fs_clamp(values.baseAddress, Int64(values.count), Float(bounds.lowerBound), Float(bounds.upperBound))
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
