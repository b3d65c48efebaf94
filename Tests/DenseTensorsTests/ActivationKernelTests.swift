import CKernels
import Foundation
import Testing

/// The activations, and with them the exponential and error functions inside, over all magnitudes of floats.
extension KernelTests {
  static let activations = [FS_SILU, FS_GELU, FS_QUICK_GELU, FS_RELU, FS_MISH]

  static func activation(_ kind: fs_activation, _ x: Double) -> Double {
    switch kind {
    case FS_SILU: x / (1 + exp(-x))
    case FS_GELU: 0.5 * x * erfc(-x / 2.0.squareRoot())
    case FS_QUICK_GELU: x / (1 + exp(-1.702 * x))
    case FS_MISH: x * tanh(log1p(exp(x)))
    default: max(x, 0)
    }
  }

  /// What the kernels' functions may be off at `x`: e^x by 2e-7, relatively, and the error function by 5e-7.
  static func activationError(_ kind: fs_activation, _ x: Double) -> Double {
    let size = abs(activation(kind, x))
    // e^x is not below e^-87.3, which shows where the exact result is next to nothing: at -90, 1e-36. Subnormal results
    // are rounded to multiples of 2^-149, products of theirs twice.
    let floor = abs(x) * exp(-87.3) * (1 + 2e-7) + 0x1p-149
    return switch kind {
    // Four roundings: of 1 + e^-x, the quotient, the product and the negation's argument.
    case FS_SILU: (2e-7 + 4 * roundoff) * size + floor
    case FS_GELU: 0.5 * abs(x) * 5e-7 + 4 * roundoff * size + floor
    // 1.702 x is rounded, and so is 1.702 itself: both count in the exponent.
    case FS_QUICK_GELU: (2e-7 + 4 * roundoff + 2 * roundoff * abs(1.702 * x)) * size + floor
    // n / (n + 2) with n = e (e + 2) has the error of e up to twice, and that of six roundings.
    case FS_MISH: (4e-7 + 6 * roundoff) * size + floor
    default: 0
    }
  }

  /// Every 4093rd pattern of bits, 2049 floats in each power of two, and every hundredth up to 100.
  static let allMagnitudes: [Float] =
    stride(from: UInt32(0), through: .max, by: 4093).map(Float.init(bitPattern:)).filter(\.isFinite)
    + (-10_000...10_000).map { Float($0) / 100 } + [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 0, -0.0]

  @Test(arguments: instructionSets, activations) func activations(_ set: String, _ kind: fs_activation) {
    withInstructionSet(set) {
      let buffer = GuardedBuffer(Self.allMagnitudes)
      fs_activate(buffer.pointer, buffer.pointer, Int64(Self.allMagnitudes.count), kind)
      var worst: (ratio: Double, input: Float) = (0, 0)
      for (input, output) in zip(Self.allMagnitudes, buffer.elements) {
        let difference = abs(Double(output) - Self.activation(kind, Double(input)))
        guard difference != 0 else { continue }
        let ratio = difference / Self.activationError(kind, Double(input))
        if ratio.isNaN || ratio > worst.ratio { worst = (ratio.isNaN ? .infinity : ratio, input) }
      }
      #expect(worst.ratio <= 1, "at \(worst.input)")
    }
  }

  /// A broken model must show: NaN stays NaN, and so does what infinity makes of it where the limit is not infinite.
  @Test(arguments: instructionSets, activations) func whatIsNotFinite(_ set: String, _ kind: fs_activation) {
    withInstructionSet(set) {
      for count in Self.sizes {
        for (input, isRight): (Float, (Float) -> Bool) in [
          (.nan, \.isNaN), (.infinity, { $0 == .infinity }), (-.infinity, { kind == FS_RELU ? $0 == 0 : !$0.isFinite }),
        ] {
          let buffer = GuardedBuffer([Float](repeating: input, count: count))
          fs_activate(buffer.pointer, buffer.pointer, Int64(count), kind)
          let areRight = buffer.values.allSatisfy(isRight)
          #expect(areRight, "\(input), \(count) elements")
        }
      }
    }
  }

  /// An element is treated alike in a vector and in the rest after the last one, in place or not.
  @Test(arguments: instructionSets, activations) func activationTails(_ set: String, _ kind: fs_activation) {
    withInstructionSet(set) {
      for count in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(count))
        let values = numbers.array(count).map { $0 * 8 }
        let input = GuardedBuffer(values)
        let output = GuardedBuffer(unwritten: count)
        fs_activate(output.pointer, input.pointer, Int64(count), kind)
        for (index, value) in values.enumerated() {
          var single = Float.nan
          fs_activate(&single, [value], 1, kind)
          let result = output.elements[index]
          #expect(result == single)
          #expect(
            abs(Double(result) - Self.activation(kind, Double(value))) <= Self.activationError(kind, Double(value)))
        }
        fs_activate(input.pointer, input.pointer, Int64(count), kind)
        let (inPlace, expected) = (input.values, output.values)
        #expect(inPlace == expected)
      }
    }
  }

  @Test(arguments: instructionSets) func gatedGELU(_ set: String) {
    withInstructionSet(set) {
      for channels in Self.sizes {
        for rows in [1, 3] {
          var numbers = TestNumbers(seed: UInt64(channels))
          let values = numbers.array(rows * 2 * channels).map { $0 * 4 }
          let input = GuardedBuffer(values)
          let output = GuardedBuffer(unwritten: rows * channels)
          fs_geglu(output.pointer, input.pointer, Int64(rows), Int64(channels))
          for index in 0..<rows * channels {
            let start = index / channels * 2 * channels + index % channels
            let (x, gate) = (Double(values[start]), Double(values[start + channels]))
            let expected = x * Self.activation(FS_GELU, gate)
            // One more rounding for the product.
            let bound = abs(x) * Self.activationError(FS_GELU, gate) + roundoff * abs(expected)
            let found = Double(output.elements[index])
            #expect(abs(found - expected) <= bound, "row of \(channels), element \(index)")
          }
        }
      }
    }
  }
}
