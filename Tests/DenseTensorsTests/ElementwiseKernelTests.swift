import CKernels
import Testing

/// Sums, linear combinations and conversions: exact but for the last rounding.
extension KernelTests {
  @Test(arguments: instructionSets) func addition(_ set: String) {
    withInstructionSet(set) {
      for count in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(count))
        let (left, right) = (numbers.array(count), numbers.array(count))
        let a = GuardedBuffer(left)
        let b = GuardedBuffer(right)
        let output = GuardedBuffer(unwritten: count)
        fs_add(output.pointer, a.pointer, b.pointer, Int64(count), 0.3)
        let sums = output.values
        #expect(sums == zip(left, right).map { ($0 + $1) * 0.3 })
        // In place on either side.
        let c = GuardedBuffer(left)
        fs_add(c.pointer, c.pointer, b.pointer, Int64(count), 0.3)
        fs_add(b.pointer, a.pointer, b.pointer, Int64(count), 0.3)
        let inPlace = [b.values, c.values]
        #expect(inPlace == [sums, sums])
      }
    }
  }

  @Test(arguments: instructionSets, 0...5) func combination(_ set: String, _ terms: Int) {
    withInstructionSet(set) {
      for count in Self.sizes {
        var numbers = TestNumbers(seed: UInt64(count))
        let inputs = (0..<terms).map { _ in numbers.array(count) }
        let coefficients = (0..<terms).map { _ in 3 * Double(numbers.next()) }
        // The output is memory of its own, the first here, or that of any input.
        for target in 0...terms {
          let memory = GuardedBuffer([Float](repeating: .nan, count: count) + inputs.joined())
          let pointers = (0..<terms).map { Optional(UnsafePointer(memory.pointer + ($0 + 1) * count)) }
          fs_combine(
            memory.pointer + target * count, coefficients, pointers, Int64(terms), nil, 0, Int64(count))
          for index in 0..<count {
            let products = zip(coefficients, inputs).map { $0 * Double($1[index]) }
            let expected = products.reduce(0, +)
            // One rounding to float, and those in double, which may be fused.
            let slack = products.reduce(0) { $0 + abs($1) } * Double(terms) * 0x1p-52
            let found = Double(memory.elements[target * count + index])
            #expect(abs(found - expected) <= roundoff * abs(expected) + slack)
          }
        }
      }
    }
  }

  #if !(os(macOS) && arch(x86_64))
    @Test(arguments: instructionSets) func everyHalfWidens(_ set: String) {
      withInstructionSet(set) {
        let patterns = Array(0...UInt16.max)
        let halves = GuardedBuffer(patterns)
        let floats = GuardedBuffer(unwritten: patterns.count)
        fs_half_to_float(floats.pointer, halves.pointer, Int64(patterns.count))
        for (pattern, float) in zip(patterns, floats.elements) {
          let expected = Float(Float16(bitPattern: pattern))
          #expect(float.bitPattern == expected.bitPattern || float.isNaN && expected.isNaN, "\(pattern)")
        }
        // And back, to itself.
        let again = GuardedBuffer([UInt16](repeating: 0, count: patterns.count))
        fs_float_to_half(again.pointer, floats.pointer, Int64(patterns.count))
        for (pattern, found) in zip(patterns, again.elements) {
          let isNaN = Float16(bitPattern: pattern).isNaN
          #expect(isNaN ? Float16(bitPattern: found).isNaN : found == pattern, "\(pattern)")
        }
      }
    }

    /// Rounding to nearest even is known from every midpoint of neighbours and the floats next to it.
    @Test(arguments: instructionSets) func everyTieRoundsToEven(_ set: String) {
      withInstructionSet(set) {
        var inputs: [Float] = []
        var expected: [UInt16] = []
        for pattern in 0..<UInt16(0x7c00) {
          // The neighbour of the largest half, 65536, is infinity.
          let low = Float(Float16(bitPattern: pattern))
          let high = pattern == 0x7bff ? 65536 : Float(Float16(bitPattern: pattern + 1))
          let middle = (low + high) / 2
          let even = pattern % 2 == 0 ? pattern : pattern + 1
          for (value, rounded) in [(middle, even), (middle.nextDown, pattern), (middle.nextUp, pattern + 1)] {
            inputs += [value, -value]
            expected += [rounded, rounded | 0x8000]
          }
        }
        let source = GuardedBuffer(inputs)
        let target = GuardedBuffer([UInt16](repeating: 0, count: inputs.count))
        fs_float_to_half(target.pointer, source.pointer, Int64(inputs.count))
        for (index, input) in inputs.enumerated() {
          let found = target.elements[index]
          #expect(found == expected[index] && found == Float16(input).bitPattern, "\(input)")
        }
      }
    }

    @Test(arguments: instructionSets) func halvesOfAnyFloatAndCount(_ set: String) {
      withInstructionSet(set) {
        // All magnitudes, infinity and NaN included.
        let patterns = stride(from: UInt32(0), through: .max, by: 65_521).map { $0 }
        let inputs = patterns.map(Float.init(bitPattern:)) + [.infinity, -.infinity, .nan]
        for count in Self.sizes + [inputs.count] {
          let source = GuardedBuffer(Array(inputs.suffix(count)))
          let target = GuardedBuffer([UInt16](repeating: 0, count: count))
          let back = GuardedBuffer(unwritten: count)
          fs_float_to_half(target.pointer, source.pointer, Int64(count))
          fs_half_to_float(back.pointer, target.pointer, Int64(count))
          for (index, input) in inputs.suffix(count).enumerated() {
            let (half, float) = (Float16(bitPattern: target.elements[index]), back.elements[index])
            #expect(half == Float16(input) || half.isNaN && input.isNaN, "\(input)")
            #expect(float == Float(Float16(input)) || float.isNaN && input.isNaN, "\(input)")
          }
        }
      }
    }
  #endif
}
