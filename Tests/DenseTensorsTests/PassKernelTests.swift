import CKernels
import Foundation
import Testing

/// The elementwise passes, norms and softmax against double precision, at awkward sizes before a guard page.
extension KernelTests {
  static let sizes = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 61]

  static func activation(_ kind: fs_activation, _ x: Double) -> Double {
    switch kind {
    case FS_SILU: x / (1 + exp(-x))
    case FS_GELU: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
    case FS_QUICK_GELU: x / (1 + exp(-1.702 * x))
    case FS_MISH: x * tanh(log1p(exp(x)))
    default: max(x, 0)
    }
  }

  @Test(arguments: instructionSets) func activations(_ set: String) {
    let inputs = stride(from: Float(-30), through: 30, by: 0.01).map { $0 } + [-1000, -88, 0, 88, 1000, 1e-30]
    withInstructionSet(set) {
      for kind in [FS_SILU, FS_GELU, FS_QUICK_GELU, FS_RELU, FS_MISH] {
        let buffer = GuardedBuffer(inputs)
        fs_activate(buffer.pointer, buffer.pointer, Int64(inputs.count), kind)
        for (input, output) in zip(inputs, buffer.values) {
          // The exponential is good to 2e-7, the error function to 5e-7 of x.
          let expected = Self.activation(kind, Double(input))
          #expect(abs(Double(output) - expected) <= 6e-7 * max(abs(Double(input)), 1e-3), "\(input)")
        }
      }
    }
  }

  @Test(arguments: instructionSets) func tailsOfPasses(_ set: String) {
    withInstructionSet(set) {
      for size in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(size))
        let (left, right) = (numbers.array(2 * size), numbers.array(2 * size))
        let a = GuardedBuffer(left)
        let b = GuardedBuffer(right)
        let out = GuardedBuffer([Float](repeating: .nan, count: size))
        fs_add(out.pointer, a.pointer, b.pointer, Int64(size), 0.5)
        #expect(out.values == (0..<size).map { (left[$0] + right[$0]) * 0.5 })
        fs_activate(out.pointer, a.pointer, Int64(size), FS_RELU)
        #expect(out.values == left.prefix(size).map { max($0, 0) })
        fs_geglu(out.pointer, a.pointer, 1, Int64(size))
        for index in 0..<size {
          let expected = Double(left[index]) * Self.activation(FS_GELU, Double(left[size + index]))
          #expect(abs(Double(out.elements[index]) - expected) < 1e-6)
        }
        fs_combine(out.pointer, [2, -0.5], [UnsafePointer(a.pointer), UnsafePointer(b.pointer)], 2, Int64(size))
        #expect(out.values == (0..<size).map { Float(2 * Double(left[$0]) - 0.5 * Double(right[$0])) })
      }
    }
  }

  @Test(arguments: instructionSets) func normsKeepTheirDigits(_ set: String) {
    withInstructionSet(set) {
      for channels in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(channels))
        // A mean of 1000 is a thousand times the deviation.
        let input = numbers.array(3 * channels).map { $0 + 1000 }
        let (gain, shift) = (numbers.array(channels), numbers.array(channels))
        let data = GuardedBuffer(input)
        let out = GuardedBuffer([Float](repeating: .nan, count: 3 * channels))
        let g = GuardedBuffer(gain)
        let s = GuardedBuffer(shift)
        fs_layer_norm(out.pointer, data.pointer, g.pointer, s.pointer, 3, Int64(channels), 1e-5)
        for row in 0..<3 {
          let values = input[row * channels..<(row + 1) * channels].map(Double.init)
          let mean = values.reduce(0, +) / Double(channels)
          let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(channels)
          for (index, value) in values.enumerated() {
            let expected = (value - mean) / (variance + 1e-5).squareRoot() * Double(gain[index]) + Double(shift[index])
            // The mean is rounded to 1000's last digit, 6e-5, which counts against the deviation.
            let tolerance = 2e-4 / (variance + 1e-5).squareRoot()
            #expect(abs(Double(out.elements[row * channels + index]) - expected) <= tolerance)
          }
        }
        var sums = [Double](repeating: 1, count: channels)
        var squares = [Double](repeating: 2, count: channels)
        fs_channel_sums(&sums, &squares, data.pointer, 3, Int64(channels))
        for channel in 0..<channels {
          let column = (0..<3).map { Double(input[$0 * channels + channel]) }
          #expect(abs(sums[channel] - 1 - column.reduce(0, +)) < 1e-9)
          #expect(abs(squares[channel] - 2 - column.reduce(0) { $0 + $1 * $1 }) < 1e-6)
        }
        for silu in [false, true] {
          fs_scale_shift(out.pointer, data.pointer, g.pointer, s.pointer, 3, Int64(channels), silu)
          for (index, value) in input.enumerated() {
            let linear = Double(value) * Double(gain[index % channels]) + Double(shift[index % channels])
            let expected = silu ? Self.activation(FS_SILU, linear) : linear
            #expect(abs(Double(out.elements[index]) - expected) <= 2e-4)
          }
        }
      }
    }
  }

  @Test(arguments: instructionSets) func softmaxOfLargeAndSmall(_ set: String) {
    withInstructionSet(set) {
      for columns in Self.sizes {
        for offset: Float in [0, 1e4, -1e4] {
          var numbers = TestNumbers(seed: UInt64(columns))
          let stride = columns + 3
          let input = numbers.array(2 * stride - 3).map { 20 * $0 + offset }
          let rows = GuardedBuffer(input)
          fs_softmax(rows.pointer, 2, Int64(columns), Int64(stride), 0.5)
          for row in 0..<2 {
            let values = input[row * stride..<row * stride + columns].map { Double($0) * 0.5 }
            let largest = values.max() ?? 0
            let total = values.reduce(0) { $0 + exp($1 - largest) }
            for (index, value) in values.enumerated() {
              #expect(abs(Double(rows.elements[row * stride + index]) - exp(value - largest) / total) < 1e-6)
            }
          }
          #expect(Array(rows.elements[columns..<columns + 3]) == Array(input[columns..<columns + 3]))
        }
      }
    }
  }

  #if !(os(macOS) && arch(x86_64))
    @Test(arguments: instructionSets) func halfPrecision(_ set: String) {
      withInstructionSet(set) {
        let patterns = (0...UInt16.max).map { $0 }
        let halves = GuardedBuffer(patterns)
        let floats = GuardedBuffer([Float](repeating: 0, count: patterns.count))
        fs_half_to_float(floats.pointer, halves.pointer, Int64(patterns.count))
        for (pattern, float) in zip(patterns, floats.elements) {
          let expected = Float(Float16(bitPattern: pattern))
          #expect(float == expected || float.isNaN && expected.isNaN)
        }
        // Ties, overflow, subnormals, and every half itself.
        var numbers = TestNumbers()
        let inputs: [Float] =
          floats.values + numbers.array(5000).map { $0 * 70000 } + numbers.array(5000).map { $0 * 1e-6 }
          + [1 + 0x1p-11, 1 + 0x1p-11 + 0x1p-20, 65519.99, 65520, 0x1p-25, 0x1.8p-25]
        let source = GuardedBuffer(inputs)
        let target = GuardedBuffer([UInt16](repeating: 0, count: inputs.count))
        fs_float_to_half(target.pointer, source.pointer, Int64(inputs.count))
        for (input, pattern) in zip(inputs, target.elements) {
          let expected = Float16(input)
          #expect(pattern == expected.bitPattern || expected.isNaN && Float16(bitPattern: pattern).isNaN, "\(input)")
        }
      }
    }
  #endif
}
