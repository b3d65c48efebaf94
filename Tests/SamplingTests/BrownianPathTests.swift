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

  /// The path at 10, 20 and 1000 steps, all of whose points 1000 has: what the steps add up to is the same, normal by
  /// normal, up to what ``BrownianPath/increment(from:to:)`` leaves out as negligible.
  @Test(arguments: [10, 20, 1000]) func incrementsAddUp(_ steps: Int) throws {
    func clock(_ a: Double, _ b: Double) -> Double { .exp(2 * b) - .exp(2 * a) }
    // 1000 steps of 2048 nodes each.
    let (start, node) = (-2.0, 32 / Double(1 << BrownianPath.depth))
    func lambda(_ index: Int) -> Double { start + 2048 * node * Double(index) }
    for end in [500, 1000] {
      var sum: [UInt32: Double] = [:]
      let stride = 1000 / steps
      for index in Swift.stride(from: 0, to: end, by: stride) {
        let (from, to) = (lambda(index), lambda(index + stride))
        for term in try #require(BrownianPath.increment(from: from, to: to)) {
          sum[term.stream, default: 0] += clock(from, to).squareRoot() * term.coefficient
        }
      }
      let whole = try #require(BrownianPath.increment(from: start, to: lambda(end)))
      let deviation = clock(start, lambda(end)).squareRoot()
      for term in whole { sum[term.stream, default: 0] -= deviation * term.coefficient }
      let difference = sum.values.reduce(0) { $0 + $1 * $1 }.squareRoot() / deviation
      print("\(steps) Brownian increments: off by \(difference) from their sum")
      #expect(difference < 1e-11)
    }
  }

  /// A plan of few steps draws none of the tree's normals that a plan of many does not.
  @Test func aFineGridSeesTheCoarseGridsPath() throws {
    func streams(_ steps: Int) throws -> Set<UInt32> {
      let path = VariancePreserving.stableDiffusion
      let points = ExactProblem.points(path, steps: steps, from: -2, to: -1)
      let plan = try SamplingPlan(EulerAncestral(), at: points, on: path, noise: .brownian)
      return Set(
        plan.operations.flatMap { operation -> [UInt32] in
          if case .combine(let combination) = operation { combination.noises.map(\.stream) } else { [] }
        })
    }
    let (coarse, middle, fine) = (try streams(8), try streams(16), try streams(1024))
    #expect(coarse.isStrictSubset(of: middle) && middle.isStrictSubset(of: fine))
  }

  /// What is asked before changes nothing, not even the last bit.
  @Test func theOrderOfQueriesDoesNotMatter() {
    let intervals = [(-1.3, 0.4), (-1.3, -0.2), (-0.2, 0.4), (0.1, 0.2)]
    func answers(_ order: [Int]) -> [Int: [SamplingPlan.Combination.Noise]] {
      var draws = NoiseDraws(.brownian)
      return Dictionary(
        uniqueKeysWithValues: order.map { ($0, draws.increment(from: intervals[$0].0, to: intervals[$0].1)) })
    }
    let first = answers([0, 1, 2, 3])
    #expect(first == answers([3, 1, 0, 2]) && first == answers([2, 3, 1, 0]))
  }
}

/// Draws that follow one Brownian path within a step and are independent from step to step.
@Suite("Independent noise draws")
struct NoiseDrawsTests {
  static func covariance(
    _ a: [SamplingPlan.Combination.Noise], _ b: [SamplingPlan.Combination.Noise]
  ) -> Double {
    a.reduce(0) { sum, x in b.filter { $0.stream == x.stream }.reduce(sum) { $0 + x.coefficient * $1.coefficient } }
  }

  /// Every order in which a step may ask: a part after the whole, parts that overlap, parts apart.
  @Test(arguments: [
    [(0.0, 0.5), (0.0, 1.0)], [(0.0, 1.0), (0.0, 0.5)], [(0.0, 1.0), (0.5, 1.0), (0.0, 0.5)],
    [(0.0, 0.3), (0.0, 0.9), (0.0, 0.6)], [(0.2, 0.7), (0.5, 1.0), (0.0, 0.6), (0.1, 0.3)],
    [(0.5, 0.6), (0.0, 0.2), (0.0, 1.0), (0.3, 0.55)],
  ]) func covariancesAreThoseOfBrownianMotion(_ intervals: [(Double, Double)]) {
    func clock(_ a: Double, _ b: Double) -> Double { max(.exp(2 * b) - .exp(2 * a), 0) }
    var draws = NoiseDraws(.independent)
    let increments = intervals.map { draws.increment(from: $0.0, to: $0.1) }
    for (a, first) in zip(intervals, increments) {
      for (b, second) in zip(intervals, increments) {
        let exact =
          clock(max(a.0, b.0), min(a.1, b.1)) / (clock(a.0, a.1) * clock(b.0, b.1)).squareRoot()
        #expect(abs(Self.covariance(first, second) - exact) < 1e-14, "\(a), \(b)")
      }
    }
  }

  @Test func stepsAreIndependent() {
    var draws = NoiseDraws(.independent)
    let first = draws.increment(from: 0, to: 1)
    draws.forgetIntervals()
    #expect(Self.covariance(first, draws.increment(from: 0, to: 1)) == 0)
  }
}
