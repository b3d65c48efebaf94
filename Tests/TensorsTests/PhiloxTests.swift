import RealModule
import Tensors
import Testing

@Suite("Counter-based noise")
struct PhiloxTests {
  /// The known answers that are published with Random123 for philox4x32, 10 rounds.
  @Test(arguments: [
    (
      SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4(repeating: UInt32.max), SIMD2(repeating: UInt32.max),
      SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2(0xa409_3822, 0x299f_31d0),
      SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ])
  func knownAnswers(_ counter: SIMD4<UInt32>, _ key: SIMD2<UInt32>, _ words: SIMD4<UInt32>) {
    #expect(Philox(key: key).block(at: counter) == words)
  }

  static func values(_ field: NoiseField, count: Int = 40_000) -> [Double] {
    var values: [Double] = []
    field.forEach(count: count) {
      #expect($0 == values.count); values.append($1)
    }
    return values
  }

  @Test func anElementDoesNotDependOnTheCount() {
    let field = NoiseField(seed: 11, image: 2, stream: 3)
    let many = Self.values(field, count: 103)
    for count in [0, 1, 2, 3, 4, 5, 102] { #expect(Self.values(field, count: count) == Array(many.prefix(count))) }
  }

  @Test func theDistributionIsNormal() {
    let values = Self.values(NoiseField(seed: 5)).sorted()
    let count = Double(values.count)
    let mean = values.reduce(0, +) / count
    let variance = values.reduce(0) { $0 + $1 * $1 } / count
    // Four standard errors.
    #expect(abs(mean) < 4 / count.squareRoot())
    #expect(abs(variance - 1) < 4 * (2 / count).squareRoot())
    // Kolmogorov's statistic exceeds 1.95 / √n once in a thousand.
    let distance =
      values.enumerated().map { index, value in
        abs(0.5 * Double.erfc(-value / 2.0.squareRoot()) - (Double(index) + 0.5) / count)
      }.max() ?? 1
    #expect(distance < 1.95 / count.squareRoot())
  }

  @Test func seedsImagesAndStreamsAreIndependent() {
    let fields = [
      NoiseField(seed: 1), NoiseField(seed: 2), NoiseField(seed: 1 << 32), NoiseField(seed: 1, image: 1),
      NoiseField(seed: 1, stream: 1), NoiseField(seed: 1).with(stream: 2),
    ]
    let all = fields.map { Self.values($0) }
    for (index, first) in all.enumerated() {
      for second in all.dropFirst(index + 1) {
        let correlation = zip(first, second).reduce(0) { $0 + $1.0 * $1.1 } / Double(first.count)
        #expect(abs(correlation) < 4.5 / Double(first.count).squareRoot())
      }
    }
  }

  /// Box-Muller of the known words for counter and key 0, written out.
  @Test func goldenValues() {
    let words = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8].map { (Double($0) + 0.5) / 4_294_967_296 }
    let expected = [0, 2].flatMap { pair in
      let radius = (-2 * Double.log(words[pair])).squareRoot()
      let angle = 2 * Double.pi * words[pair + 1]
      return [radius * .cos(angle), radius * .sin(angle)]
    }
    #expect(Self.values(NoiseField(seed: 0), count: 4) == expected)
  }
}
