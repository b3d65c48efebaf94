import Foundation
import RealModule
import Tensors
import Testing

@Suite("Counter-based noise")
struct NoiseFieldTests {
  static func values(_ field: NoiseField, count: Int) -> [Double] {
    var (elements, values): ([Int], [Double]) = ([], [])
    field.forEach(count: count) { element, normal in
      elements.append(element)
      values.append(normal)
    }
    #expect(elements == Array(0..<count))
    return values
  }

  static let sampleCount = 40_000
  /// Fields that differ in one word, low or high, of what they are a function of.
  static let fields = [
    NoiseField(seed: 1), NoiseField(seed: 2), NoiseField(seed: 1 << 32), NoiseField(seed: 1, image: 1),
    NoiseField(seed: 1, image: 1 << 31), NoiseField(seed: 1, stream: 1), NoiseField(seed: 1).with(stream: 2),
    NoiseField(seed: 1, image: 1, stream: 1),
  ]

  /// Element e is √(-2 ln u) cos 2πv, or sin for odd e, with u and v = (word + ½) 2⁻³² of words p and p + 1, p = 0 or 2
  /// for the first or second half, of Philox at counter (e / 4 low, e / 4 high, stream, image) and key (seed low, seed
  /// high): computed with 40 digits by mpmath.
  @Test(arguments: [
    (NoiseField(seed: 0), 0, 0.9911376799303858),
    (NoiseField(seed: 0), 1, -0.924662587665535),
    (NoiseField(seed: 0), 2, -0.6176089594591906),
    (NoiseField(seed: 0), 3, -0.4820685874871797),
    (NoiseField(seed: 7), 5, -1.2870117195006672),
    (NoiseField(seed: 0x0123_4567_89ab_cdef, image: 3, stream: 9), 1001, -0.8397110416634995),
    (NoiseField(seed: .max, image: .max, stream: .max), 16383, 1.9176553084825256),
    (NoiseField(seed: 1 << 32, image: 1), 1 << 34 + 6, 0.7765488167109879),
  ])
  func goldenValues(_ field: NoiseField, _ element: Int, _ expected: Double) {
    // The angle, below 2π, is rounded twice, which counts with the radius, below 6.8.
    #expect(abs(field.normals(block: element / 4)[element % 4] - expected) < 6.8 * 2 * 0x1p-51)
  }

  @Test func anElementDoesNotDependOnTheCount() {
    let field = NoiseField(seed: 11, image: 2, stream: 3)
    let many = Self.values(field, count: 103)
    for count in 0..<103 { #expect(Self.values(field, count: count) == Array(many.prefix(count))) }
    for element in 0..<103 { #expect(field.normals(block: element / 4)[element % 4] == many[element]) }
  }

  @Test(arguments: fields) func theDistributionIsNormal(_ field: NoiseField) {
    let values = Self.values(field, count: Self.sampleCount).sorted()
    let count = Double(values.count)
    func moment(_ power: Int) -> Double { values.reduce(0) { $0 + Double.pow($1, power) } / count }
    // Four standard errors; the variances of z, z², z³ and z⁴ are 1, 2, 15 and 96.
    for (power, (expected, variance)) in [(0.0, 1.0), (1, 2), (0, 15), (3, 96)].enumerated() {
      #expect(abs(moment(power + 1) - expected) < 4 * (variance / count).squareRoot(), "moment \(power + 1)")
    }
    // Kolmogorov's statistic exceeds 2.23 / √n once in ten thousand.
    let distance = values.enumerated().reduce(0.0) { largest, pair in
      let probability = 0.5 * Double.erfc(-pair.element / 2.0.squareRoot())
      return max(largest, probability - Double(pair.offset) / count, Double(pair.offset + 1) / count - probability)
    }
    #expect(distance < 2.23 / count.squareRoot())
  }

  /// Also within a block, whose elements come in pairs from one radius.
  @Test func fieldsAndNeighboursAreUncorrelated() {
    // The mean of products of independent normals has a standard error of 1 / √n; below 4.5 of them in 170 pairs.
    func correlation(_ left: some Sequence<Double>, _ right: some Sequence<Double>, _ count: Int) -> Double {
      zip(left, right).reduce(0) { $0 + $1.0 * $1.1 } / Double(count) * Double(count).squareRoot()
    }
    let all = Self.fields.map { Self.values($0, count: Self.sampleCount) }
    for (index, first) in all.enumerated() {
      for second in all.dropFirst(index + 1) {
        #expect(abs(correlation(first, second, first.count)) < 4.5)
        // Box-Muller's pairs are independent only if their squares are so as well; the variance of z² is 2.
        let (left, right) = (first.lazy.map { $0 * $0 - 1 }, second.lazy.map { $0 * $0 - 1 })
        #expect(abs(correlation(left, right, first.count)) < 4.5 * 2)
      }
      for lag in 1...8 {
        #expect(abs(correlation(first, first.dropFirst(lag), first.count - lag)) < 4.5)
        let squares = first.map { $0 * $0 - 1 }
        #expect(abs(correlation(squares, squares.dropFirst(lag), first.count - lag)) < 4.5 * 2)
      }
    }
  }

  @Test func codableRoundTrip() throws {
    let field = NoiseField(seed: .max, image: 3, stream: .max)
    #expect(try JSONDecoder().decode(NoiseField.self, from: JSONEncoder().encode(field)) == field)
    #expect(field.with(stream: 0) == NoiseField(seed: .max, image: 3))
  }
}
