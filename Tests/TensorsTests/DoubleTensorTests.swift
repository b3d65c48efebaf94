import Foundation
import Tensors
import Testing

/// The reference of every other tensor is exact where doubles are.
@Suite("The reference tensor")
struct DoubleTensorTests {
  typealias Combination = LinearCombination<DoubleTensor>

  /// Small integers, so that the sums and products of a few are exact.
  private static func integers(_ seed: UInt64) -> DoubleTensor {
    var values: [Double] = []
    NoiseField(seed: seed).forEach(count: 35) { values.append(($1 * 100).rounded()) }
    return DoubleTensor(values, shape: [5, 7])
  }

  /// Into a target whose old value would spoil the sum.
  private static func combination(_ terms: [(Double, DoubleTensor)]) -> DoubleTensor {
    let shape = terms[0].1.shape
    var result = DoubleTensor(Array(repeating: .nan, count: shape.count), shape: shape)
    result.assign(Combination(terms.map { .init($0.0, $0.1) }))
    return result
  }

  /// c f(x) + d f(y) = f(c x + d y) for the combination f of two operands, and a term can be cut in two.
  @Test(arguments: [(2.0, -3.0), (0, 1), (0.5, 0.25), (-1, -1)])
  func combinationsAreLinear(_ c: Double, _ d: Double) {
    let (x, y, u, v) = (Self.integers(1), Self.integers(2), Self.integers(3), Self.integers(4))
    let f = { (a: DoubleTensor, b: DoubleTensor) in Self.combination([(8, a), (-0.125, b)]) }
    let mixed = f(Self.combination([(c, x), (d, u)]), Self.combination([(c, y), (d, v)]))
    #expect(mixed == Self.combination([(c, f(x, y)), (d, f(u, v))]))
    #expect(Self.combination([(c, x), (d, x)]) == Self.combination([(c + d, x)]))
    #expect(DoubleTensor.combining((c, x), (d, y)) == Self.combination([(d, y), (c, x)]))
    for (index, value) in DoubleTensor.combining((c, x), (d, y)).values.enumerated() {
      #expect(value == c * x.values[index] + d * y.values[index])
    }
  }

  @Test func theTargetCanBeAnOperand() {
    let (x, y) = (Self.integers(1), Self.integers(2))
    var z = x
    z.assign(Combination([.init(2, z), .init(-3, y), .init(1, z)]))
    #expect(z == Self.combination([(3, x), (-3, y)]) && x == Self.integers(1))
  }

  @Test func withoutTermsTheOldValueIsGone() {
    var x = Self.integers(1)
    x.assign(Combination([]))
    #expect(x == DoubleTensor(zeros: x.shape))
    var scalar = DoubleTensor([3], shape: [])
    scalar.assign(Combination([.init(2, scalar)]))
    #expect(scalar.values == [6])
  }

  @Test func noiseIsATerm() {
    let (x, field) = (Self.integers(1), NoiseField(seed: 3, image: 1, stream: 2))
    let noise = DoubleTensor(noise: field, shape: x.shape)
    var sum = x
    sum.assign(Combination([.init(2, sum)], noises: [.init(0.5, field)]))
    #expect(sum == Self.combination([(2, x), (0.5, noise)]))
    var expected: [Double] = []
    field.forEach(count: 35) { expected.append($1) }
    #expect(noise.values == expected)
    // What is zero times noise is exactly nothing.
    sum.assign(Combination([.init(1, x)], noises: [.init(0, field)]))
    #expect(sum == x)
  }

  @Test func clampLimitsAndChangesNothingElse() {
    var x = DoubleTensor([3, -4, 0.5, -2, 2, -.infinity, .infinity])
    x.clamp(to: -2...2)
    #expect(x.values == [2, -2, 0.5, -2, 2, -2, 2])
    x.clamp(to: 1...1)
    #expect(x.values == Array(repeating: 1, count: 7))
    // A model's NaN must stay visible.
    var broken = DoubleTensor([.nan])
    broken.clamp(to: -1...1)
    #expect(broken.values[0].isNaN)
  }

  @Test func rootMeanSquare() {
    #expect(DoubleTensor([3, -4]).rootMeanSquare() == 12.5.squareRoot())
    #expect(DoubleTensor(zeros: [0]).rootMeanSquare() == 0 && DoubleTensor(zeros: [3]).rootMeanSquare() == 0)
    let x = Self.integers(1)
    // A power of two scales without rounding.
    #expect(DoubleTensor.combining((-4, x)).rootMeanSquare() == 4 * x.rootMeanSquare())
    #expect(x.relativeError(to: x) == 0 && DoubleTensor.combining((1.5, x)).relativeError(to: x) == 0.5)
  }

  @Test func codableRoundTrip() throws {
    let x = Self.integers(1)
    #expect(try JSONDecoder().decode(DoubleTensor.self, from: JSONEncoder().encode(x)) == x)
  }
}
