import RealModule
import Testing

@testable import Sampling

@Suite("Brownian path")
struct BrownianPathTests {
  static func covariance(_ a: (Double, Double), _ b: (Double, Double)) throws -> Double {
    let (first, second) = (
      try #require(BrownianPath.increment(from: a.0, to: a.1)), try #require(BrownianPath.increment(from: b.0, to: b.1))
    )
    let coefficients = Dictionary(uniqueKeysWithValues: first.map { ($0.stream, $0.coefficient) })
    return second.reduce(0) { $0 + $1.coefficient * (coefficients[$1.stream] ?? 0) }
  }

  /// Nodes of the tree, so that no level is rounded.
  static let levels = [-2.5, -1.125, -0.75, 0, 0.0625, 1.5, 2.25, 3]

  /// The clock both have in common, over the root of the product of their own.
  @Test func covariancesAreThoseOfBrownianMotion() throws {
    func clock(_ a: Double, _ b: Double) -> Double { max(.exp(2 * b) - .exp(2 * a), 0) }
    var intervals: [(Double, Double)] = []
    for (index, from) in Self.levels.enumerated() {
      for to in Self.levels.dropFirst(index + 1) { intervals.append((from, to)) }
    }
    var largest = 0.0
    for a in intervals {
      for b in intervals {
        let common = clock(max(a.0, b.0), min(a.1, b.1))
        let exact = common / (clock(a.0, a.1) * clock(b.0, b.1)).squareRoot()
        largest = max(largest, abs(try Self.covariance(a, b) - exact))
      }
    }
    print("covariances of Brownian increments: off by \(largest)")
    #expect(largest < 1e-11)
  }
}
