import DenseTensors
import Tensors
import Testing

/// What the tests must know of a type to compare it with doubles.
protocol ComparableTensor: Tensor {
  /// Half of the distance from 1 to the next number: the relative error of a rounding.
  static var roundoff: Double { get }
  /// Half of the least positive number: the absolute error of a rounding near 0.
  static var leastRounding: Double { get }
  init(rounding values: [Double], shape: Shape)
  var doubles: [Double] { get }
}

extension DoubleTensor: ComparableTensor {
  static var roundoff: Double { 0x1p-53 }
  static var leastRounding: Double { 0 }
  init(rounding values: [Double], shape: Shape) { self.init(values, shape: shape) }
  var doubles: [Double] { values }
}

extension DenseTensor: ComparableTensor {
  static var roundoff: Double { Double(Scalar.ulpOfOne) / 2 }
  static var leastRounding: Double { Double(Scalar.leastNonzeroMagnitude) / 2 }
  init(rounding values: [Double], shape: Shape) { self.init(values.map { Scalar($0) }, shape: shape) }
  var doubles: [Double] { elements.map { Double($0) } }
}

/// What every conformance to `Tensor` promises.
@Suite("Conformances to Tensor")
struct ConformanceTests {
  static let types: [any ComparableTensor.Type] = {
    var types: [any ComparableTensor.Type] = [DoubleTensor.self, DenseTensor<Double>.self, DenseTensor<Float>.self]
    #if !(os(macOS) && arch(x86_64))
      types.append(DenseTensor<Float16>.self)
    #endif
    return types
  }()

  static let shapes: [Shape] = [[], [0], [1], [3, 0, 2], [5], [17], [2, 3, 7], [101]]

  private static func sample<T: ComparableTensor>(_ seed: UInt64, _ shape: Shape) -> T {
    var numbers = TestNumbers(seed: seed)
    return T(rounding: numbers.array(shape.count).map { 10 * Double($0) }, shape: shape)
  }

  /// The sum and its size in one pass, at worst in single precision, and twice in the same memory.
  @Test(arguments: types, shapes) func accumulation(_ type: any ComparableTensor.Type, _ shape: Shape) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let (first, second): (T, T) = (Self.sample(1, shape), Self.sample(2, shape))
      var sum: T = Self.sample(3, shape)
      let before = sum
      let squares = sum.accumulate(.init([.init(0.5, first), .init(-2, second)]), carry: 0.25)
      let roundoff = max(T.roundoff, 0x1p-24)
      var expected = 0.0
      for index in 0..<shape.count {
        let difference = 0.5 * first.doubles[index] - 2 * second.doubles[index]
        let size = abs(0.5 * first.doubles[index]) + abs(2 * second.doubles[index]) + abs(before.doubles[index])
        #expect(abs(sum.doubles[index] - (0.25 * before.doubles[index] + difference)) <= 5 * roundoff * size)
        expected += difference * difference
      }
      #expect(abs(squares - expected) <= 1e-5 * expected)
      #expect(sum.shape == shape && before.doubles == (Self.sample(3, shape) as T).doubles)
    }
    check(type)
  }

  /// Every element is Σ cᵢ xᵢ + c z, rounded once, and z once before, if it is rounded at all.
  @Test(arguments: types, shapes) func combination(_ type: any ComparableTensor.Type, _ shape: Shape) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let operands: [T] = (1...4).map { Self.sample($0, shape) }
      let coefficients = [0.3, -1.7, 0, 1e-3]
      let field = NoiseField(seed: 1, image: 2, stream: 3)
      for (count, noise) in [(0, 0.0), (0, -0.7), (1, 0), (2, 0.5), (3, 0), (4, -2)] {
        let terms = Array(zip(coefficients, operands).prefix(count))
        var result: T = Self.sample(9, shape)
        result.assign(
          .init(terms.map { .init($0.0, $0.1) }, noises: noise == 0 ? [] : [.init(noise, field)]))
        #expect(result.shape == shape)
        var normals: [Double] = []
        field.forEach(count: shape.count) { normals.append($1) }
        for (index, found) in result.doubles.enumerated() {
          let products = terms.map { $0.0 * $0.1.doubles[index] } + [noise * normals[index]]
          let (expected, size) = products.reduce((0, 0)) { ($0.0 + $1, $0.1 + abs($1)) }
          let rounded = abs(noise) * max(T.roundoff * abs(normals[index]), T.leastRounding)
          // The sum itself is in double precision, with five products and five additions.
          let bound = max(T.roundoff * abs(expected), T.leastRounding) + rounded * (1 + T.roundoff) + 0x1p-50 * size
          #expect(abs(found - expected) <= bound, "\(count) terms, element \(index)")
        }
      }
    }
    check(type)
  }

  @Test(arguments: types, shapes) func noise(_ type: any ComparableTensor.Type, _ shape: Shape) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let field = NoiseField(seed: 4, image: 1, stream: 1)
      var normals: [Double] = []
      field.forEach(count: shape.count) { normals.append($1) }
      #expect(T(noise: field, shape: shape).doubles == T(rounding: normals, shape: shape).doubles)
      #expect(T(zeros: shape).doubles == Array(repeating: 0, count: shape.count))
    }
    check(type)
  }

  /// A copy keeps its elements whichever of the two is written, and by whatever writes.
  @Test(arguments: types) func valueSemantics(_ type: any ComparableTensor.Type) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let original: T = Self.sample(1, [17])
      let elements = original.doubles
      var copy = original
      copy.assign(.init([.init(2, copy)]))
      #expect(original.doubles == elements && copy.doubles == elements.map { 2 * $0 })
      copy = original
      copy.clamp(to: -1...1)
      #expect(original.doubles == elements && copy.doubles != elements)
      var first = original
      let second = first
      first.assign(.init([]))
      #expect(second.doubles == elements && first.doubles == Array(repeating: 0, count: 17))
    }
    check(type)
  }

  /// The target's old value counts where it is an operand, once or more, under its own name or another's.
  @Test(arguments: types) func operandsThatShareStorage(_ type: any ComparableTensor.Type) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      // Multiples of 1/4 that every type holds.
      let values = (0..<35).map { Double($0 - 17) / 4 }
      var x = T(rounding: values, shape: [5, 7])
      let alias = x
      let y = T(rounding: values.reversed(), shape: [5, 7])
      x.assign(.init([.init(1, x), .init(0.5, y), .init(2, alias), .init(-1, x)]))
      #expect(x.doubles == zip(values, values.reversed()).map { 2 * $0 + 0.5 * $1 })
      #expect(alias.doubles == values)
      // Nobody else holds its memory now.
      var z = T(rounding: values, shape: [5, 7])
      for power in 1...3 {
        z.assign(.init([.init(1, z), .init(1, z)]))
        #expect(z.doubles == values.map { $0 * Double(1 << power) })
      }
    }
    check(type)
  }

  @Test(arguments: types) func clamp(_ type: any ComparableTensor.Type) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let x: T = Self.sample(1, [101])
      var clamped = x
      clamped.clamp(to: -2.5...0.75)
      #expect(clamped.doubles == x.doubles.map { min(max($0, -2.5), 0.75) })
      let once = clamped.doubles
      clamped.clamp(to: -2.5...0.75)
      #expect(clamped.doubles == once)
      clamped.clamp(to: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude)
      #expect(clamped.doubles == once)
      var broken = T(rounding: [.nan, -.infinity, .infinity], shape: [3])
      broken.clamp(to: -1...2)
      #expect(broken.doubles[0].isNaN && Array(broken.doubles.dropFirst()) == [-1, 2])
    }
    check(type)
  }

  @Test(arguments: types, shapes) func norm(_ type: any ComparableTensor.Type, _ shape: Shape) {
    func check<T: ComparableTensor>(_ type: T.Type) {
      let x: T = Self.sample(1, shape)
      let expected = DoubleTensor(x.doubles, shape: shape).rootMeanSquare()
      // Of the exact elements, in double precision, whatever the type.
      #expect(abs(x.rootMeanSquare() - expected) <= Double(shape.count + 2) * 0x1p-53 * expected)
      guard shape.count > 0 else { return }
      #expect(x.relativeError(to: x) == 0)
      #expect(abs(T.combining((1.5, x)).relativeError(to: x) - 0.5) <= 4 * T.roundoff)
    }
    check(type)
  }
}
