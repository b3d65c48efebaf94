import RealModule

/// A Brownian path as a function of the noise level, from a tree of independent normals.
///
/// The clock of the reverse diffusion is u = e^(2 lambda), the signal-to-noise ratio: between two levels an ancestral
/// sampler adds noise in proportion to W(u_t) - W(u_s), exactly so where the data are a point. Lévy's construction
/// halves an interval of lambda again and again: the path at the middle is what its ends say, linear in u, and a normal
/// of its own. An increment so becomes a sum of normals with known coefficients, each normal a stream of the noise
/// field. Two grids that visit the same levels, at 10 steps or 1000, see the same path.
///
/// Karatzas and Shreve 1991, "Brownian Motion and Stochastic Calculus", section 2.3.
enum BrownianPath {
  /// Levels of lambda that the tree tells apart: 32 / 2^24 = 2e-6 between neighbours.
  static let depth = 24
  static let lambdas = -16.0...16.0

  /// The streams of the tree lie apart from those of independent draws, which are counted from 1.
  static let firstStream: UInt32 = 1 << 31

  /// A coefficient below this changes an increment's variance by less than 1e-12 of it.
  private static let negligible = 1e-6

  typealias Term = (coefficient: Double, stream: UInt32)

  /// (W(to) - W(from)) / its standard deviation, as a combination of independent standard normals.
  ///
  /// - Returns: nil where the levels are too close to be told apart.
  static func increment(from: Double, to: Double) -> [Term]? {
    let (start, end) = (node(at: from), node(at: to))
    guard start != end else { return nil }
    var coefficients = path(at: end)
    for (node, coefficient) in path(at: start) { coefficients[node, default: 0] -= coefficient }
    let scale = 1 / abs(clock(end) - clock(start)).squareRoot()
    // In the order of the nodes, sums as well: a plan is the same in every process, to the last bit.
    let kept = coefficients.mapValues { $0 * scale }.filter { abs($0.value) > negligible }.sorted { $0.key < $1.key }
    let deviation = kept.reduce(0) { $0 + $1.value * $1.value }.squareRoot()
    return kept.map { ($0.value / deviation, firstStream | $0.key) }
  }

  /// W at a node of the lattice less W at its beginning, by normal: 0 is the whole interval's, 1, 2, 3 ... those of the
  /// middles, level after level.
  private static func path(at position: Int) -> [UInt32: Double] {
    var (left, right) = (0, 1 << depth)
    let whole = (clock(right) - clock(left)).squareRoot()
    var (atLeft, atRight): ([UInt32: Double], [UInt32: Double]) = ([:], [0: whole])
    if position == left { return atLeft }
    if position == right { return atRight }
    var node: UInt32 = 1
    while true {
      let middle = (left + right) / 2
      let (before, after) = (clock(middle) - clock(left), clock(right) - clock(middle))
      let span = before + after
      var atMiddle = atLeft.mapValues { $0 * after / span }
      atMiddle.merge(atRight.mapValues { $0 * before / span }, uniquingKeysWith: +)
      atMiddle[node] = (before * after / span).squareRoot()
      if position == middle { return atMiddle }
      if position < middle {
        (right, atRight, node) = (middle, atMiddle, 2 * node)
      } else {
        (left, atLeft, node) = (middle, atMiddle, 2 * node + 1)
      }
    }
  }

  private static func node(at lambda: Double) -> Int {
    let fraction = (lambda - lambdas.lowerBound) / (lambdas.upperBound - lambdas.lowerBound)
    return Int((min(max(fraction, 0), 1) * Double(1 << depth)).rounded())
  }

  private static func clock(_ node: Int) -> Double {
    let width = lambdas.upperBound - lambdas.lowerBound
    return .exp(2 * (lambdas.lowerBound + width * Double(node) / Double(1 << depth)))
  }
}
