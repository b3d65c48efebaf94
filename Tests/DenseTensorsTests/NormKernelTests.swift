import CKernels
import Foundation
import Testing

/// The kernels of group and layer norm.
extension KernelTests {
  /// Sums and sums of squares are added to what is there, in double precision.
  @Test(arguments: instructionSets, [0, 1, 3, 100]) func channelSums(_ set: String, _ rows: Int) {
    withInstructionSet(set) {
      for channels in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(channels))
        let values = numbers.array(rows * channels)
        let input = GuardedBuffer(values)
        let sums = GuardedBuffer([Double](repeating: 1, count: channels))
        let squares = GuardedBuffer([Double](repeating: 2, count: channels))
        fs_channel_sums(sums.pointer, squares.pointer, input.pointer, Int64(rows), Int64(channels))
        for channel in 0..<channels {
          let column = (0..<rows).map { Double(values[$0 * channels + channel]) }
          // Each of the additions rounds a sum of at most rows + 2.
          let bound = Double(rows * (rows + 2)) * 0x1p-53
          #expect(abs(sums.elements[channel] - column.reduce(1, +)) <= bound)
          #expect(abs(squares.elements[channel] - column.reduce(2) { $0 + $1 * $1 }) <= bound)
        }
      }
    }
  }

  @Test(arguments: instructionSets, [false, true]) func scaleAndShift(_ set: String, _ silu: Bool) {
    withInstructionSet(set) {
      for channels in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(channels))
        let values = numbers.array(3 * channels).map { $0 * 10 }
        let (gains, shifts) = (numbers.array(channels), numbers.array(channels))
        let input = GuardedBuffer(values)
        let gain = GuardedBuffer(gains)
        let shift = GuardedBuffer(shifts)
        let output = GuardedBuffer(unwritten: 3 * channels)
        fs_scale_shift(output.pointer, input.pointer, gain.pointer, shift.pointer, 3, Int64(channels), silu)
        for (index, value) in values.enumerated() {
          let product = Double(value) * Double(gains[index % channels])
          let linear = product + Double(shifts[index % channels])
          let expected = silu ? Self.activation(FS_SILU, linear) : linear
          // The product and the sum are rounded; SiLU's slope is below 1.1.
          let rounding = roundoff * (abs(product) + abs(linear))
          let bound = silu ? 1.1 * rounding + Self.activationError(FS_SILU, linear) : rounding
          let found = Double(output.elements[index])
          #expect(abs(found - expected) <= 1.0001 * bound)
        }
        let result = output.values
        fs_scale_shift(input.pointer, input.pointer, gain.pointer, shift.pointer, 3, Int64(channels), silu)
        let inPlace = input.values
        #expect(inPlace == result)
      }
    }
  }

  /// Also about a mean that is thousands of deviations away, where the difference of squares would leave nothing.
  @Test(arguments: instructionSets, [0, 100, 1e4, -1e4] as [Float]) func layerNorm(_ set: String, _ offset: Float) {
    withInstructionSet(set) {
      for channels in Self.sizes + [320, 1280] {
        var numbers = TestNumbers(seed: UInt64(channels))
        let values = numbers.array(3 * channels).map { $0 + offset }
        let (gains, shifts) = (numbers.array(channels), numbers.array(channels))
        let input = GuardedBuffer(values)
        let gain = GuardedBuffer(gains)
        let shift = GuardedBuffer(shifts)
        let output = GuardedBuffer(unwritten: 3 * channels)
        fs_layer_norm(output.pointer, input.pointer, gain.pointer, shift.pointer, 3, Int64(channels), 1e-5)
        for row in 0..<3 {
          let members = values[row * channels..<(row + 1) * channels].map(Double.init)
          let mean = members.reduce(0, +) / Double(channels)
          let variance = members.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(channels)
          let deviation = (variance + Double(Float(1e-5))).squareRoot()
          // The mean is a sum of up to 320 vectors of floats: its roundings, of the size of the mean, half cancel and
          // grow like the root of their number. Against the deviation they count like noise in the input.
          let meanError = roundoff * (abs(mean) * (2 + Double(channels).squareRoot() / 8) + 1)
          for (channel, member) in members.enumerated() {
            let normal = (member - mean) / deviation
            let expected = normal * Double(gains[channel]) + Double(shifts[channel])
            // Besides, the variance, the root and five operations are rounded.
            let bound = meanError / deviation * abs(Double(gains[channel])) + 12 * roundoff * (abs(normal) + 1)
            let found = Double(output.elements[row * channels + channel])
            #expect(abs(found - expected) <= bound, "\(channels) channels, row \(row), channel \(channel)")
          }
        }
        // A row does not depend on the others, and the work can be done in place.
        let result = output.values
        for row in 0..<3 {
          let own = GuardedBuffer(Array(values[row * channels..<(row + 1) * channels]))
          fs_layer_norm(own.pointer, own.pointer, gain.pointer, shift.pointer, 1, Int64(channels), 1e-5)
          let alone = own.values
          #expect(alone == Array(result[row * channels..<(row + 1) * channels]))
        }
      }
    }
  }
}
