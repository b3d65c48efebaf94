import CKernels
import DenseTensors
import RealModule
import Tensors
import Testing

/// Noise and reductions of states, under every instruction set, in buffers that end at a guard page.
extension KernelTests {
  static let fields = [
    NoiseField(seed: 0), NoiseField(seed: .max, image: 7, stream: 9), NoiseField(seed: 1 << 33, stream: 1 << 31),
  ]

  /// Within a few units in the last place of a double of the field itself: the sum is rounded to float once.
  @Test(arguments: instructionSets, fields) func noise(_ set: String, _ field: NoiseField) {
    withInstructionSet(set) {
      for count in [1, 3, 4, 5, 31, 32, 33, 511, 512, 513, 1100] {
        let memory = GuardedBuffer([Float](repeating: .nan, count: count))
        var noise = fs_noise(coefficient: 1, seed: field.seed, image: field.image, stream: field.stream)
        fs_combine(memory.pointer, nil, nil, 0, &noise, 1, Int64(count))
        field.forEach(count: count) { index, normal in
          #expect(
            abs(Double(memory.elements[index]) - normal) <= Double(Float(abs(normal)).ulp) / 2 + 0x1p-48,
            "element \(index) of \(count)")
        }
      }
    }
  }

  /// Noises without other terms have the same bits on every instruction set.
  @Test func noiseDoesNotDependOnTheInstructionSet() {
    let count = 1000
    let noises = Self.fields.enumerated().map { index, field in
      fs_noise(
        coefficient: 0.5 - Double(index), seed: field.seed, image: field.image, stream: field.stream)
    }
    let results = instructionSets.map { set in
      withInstructionSet(set) {
        let memory = GuardedBuffer([Float](repeating: .nan, count: count))
        fs_combine(memory.pointer, nil, nil, 0, noises, 3, Int64(count))
        return Array(memory.values)
      }
    }
    for result in results { #expect(result == results[0]) }
    var expected = [Double](repeating: 0, count: count)
    for (field, noise) in zip(Self.fields, noises) {
      field.forEach(count: count) { expected[$0] += noise.coefficient * $1 }
    }
    for (value, expected) in zip(results[0], expected) {
      #expect(abs(Double(value) - expected) <= Double(Float(abs(expected)).ulp) / 2 + 0x1p-46)
    }
  }

  @Test(arguments: instructionSets) func reductions(_ set: String) {
    withInstructionSet(set) {
      for count in [0, 1, 7, 16, 31, 32, 33, 64, 1000] {
        var numbers = TestNumbers(seed: UInt64(count))
        let (x, y) = (numbers.array(count), numbers.array(count))
        let left = GuardedBuffer(x)
        let right = GuardedBuffer(y)
        let product = zip(x, y).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let size = zip(x, y).reduce(0.0) { $0 + abs(Double($1.0) * Double($1.1)) }
        let slack = Double(count + 1) * 0x1p-52
        #expect(abs(fs_inner_product(left.pointer, right.pointer, Int64(count)) - product) <= slack * size)
        let sum = x.reduce(0.0) { $0 + Double($1) }
        let total = x.reduce(0.0) { $0 + abs(Double($1)) }
        #expect(abs(fs_sum(left.pointer, Int64(count)) - sum) <= slack * total)
        fs_clamp(left.pointer, Int64(count), -0.25, 0.5)
        #expect(Array(left.values) == x.map { min(max($0, -0.25), 0.5) })
      }
    }
  }

  /// In single precision, within as many roundings as there are terms, and the same bits on every instruction set.
  @Test func accumulation() {
    let coefficients = [0.25, -0.75, 1.5, -3, 0.125]
    for (terms, count) in [(0, 40), (1, 1), (2, 31), (2, 1000), (3, 513), (4, 512), (5, 1100), (3, 0)] {
      var numbers = TestNumbers(seed: UInt64(100 * terms + count))
      let inputs = (0..<terms).map { _ in numbers.array(count) }
      let before = numbers.array(count)
      let results = instructionSets.map { set in
        withInstructionSet(set) {
          let sum = GuardedBuffer(before)
          let memory = GuardedBuffer(Array(inputs.joined()))
          let pointers = (0..<terms).map { Optional(UnsafePointer(memory.pointer + $0 * count)) }
          let squares = fs_accumulate(sum.pointer, 0.5, coefficients, pointers, Int64(terms), Int64(count))
          return (Array(sum.values), squares)
        }
      }
      for (values, squares) in results { #expect(values == results[0].0 && squares == results[0].1) }
      var squares = 0.0
      for index in 0..<count {
        let products = (0..<terms).map { coefficients[$0] * Double(inputs[$0][index]) }
        let difference = products.reduce(0, +)
        let slack = products.reduce(0.5 * abs(Double(before[index]))) { $0 + abs($1) } * Double(terms + 2) * 0x1p-24
        #expect(abs(Double(results[0].0[index]) - (0.5 * Double(before[index]) + difference)) <= slack)
        squares += difference * difference
      }
      #expect(abs(results[0].1 - squares) <= 1e-5 * squares)
    }
  }
}
