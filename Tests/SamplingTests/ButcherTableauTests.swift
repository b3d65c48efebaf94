import RealModule
import Sampling
import Testing

/// The order conditions of Runge-Kutta methods: sums over rooted trees (Hairer, Nørsett and Wanner 1993, table II.2.2).
@Suite("Butcher tableaux")
struct ButcherTableauTests {
  static let all: [ButcherTableau] = [
    .euler, .midpoint, .heun, .ralston3, .rungeKutta4, .bogackiShampine, .dormandPrince,
  ]

  /// The largest residual among the conditions of each order.
  static func residuals(_ tableau: ButcherTableau, weights b: [Double]) -> [Double] {
    let c = tableau.nodes
    let stages = b.indices
    func a(_ i: Int, _ j: Int) -> Double { j < tableau.rows[i].count ? tableau.rows[i][j] : 0 }
    func applied(_ values: [Double]) -> [Double] { stages.map { i in stages.reduce(0) { $0 + a(i, $1) * values[$1] } } }
    func sum(_ values: [Double]) -> Double { stages.reduce(0) { $0 + b[$1] * values[$1] } }
    func product(_ x: [Double], _ y: [Double]) -> [Double] { zip(x, y).map { $0 * $1 } }
    let squares = product(c, c)
    return [
      [sum(b.map { _ in 1 }) - 1],
      [sum(c) - 1 / 2.0],
      [sum(squares) - 1 / 3.0, sum(applied(c)) - 1 / 6.0],
      [
        sum(product(squares, c)) - 1 / 4.0, sum(product(c, applied(c))) - 1 / 8.0, sum(applied(squares)) - 1 / 12.0,
        sum(applied(applied(c))) - 1 / 24.0,
      ],
      [
        sum(product(squares, squares)) - 1 / 5.0, sum(product(squares, applied(c))) - 1 / 10.0,
        sum(product(c, applied(squares))) - 1 / 15.0, sum(product(c, applied(applied(c)))) - 1 / 30.0,
        sum(product(applied(c), applied(c))) - 1 / 20.0, sum(applied(product(squares, c))) - 1 / 20.0,
        sum(applied(product(c, applied(c)))) - 1 / 40.0, sum(applied(applied(squares))) - 1 / 60.0,
        sum(applied(applied(applied(c)))) - 1 / 120.0,
      ],
    ].map { $0.map(abs).max() ?? 0 }
  }

  @Test(arguments: all.indices) func orderConditions(_ index: Int) {
    let tableau = Self.all[index]
    func check(_ weights: [Double], order: Int) {
      #expect(weights.count == tableau.stages && tableau.rows.count == tableau.stages)
      let residuals = Self.residuals(tableau, weights: weights)
      // Sums of coefficients above 1 round accordingly.
      let rounding = 1e-15
      #expect(residuals.prefix(order).allSatisfy { $0 < rounding }, "\(tableau.name): \(residuals)")
      // The order is no higher: what is left is far from rounding.
      if order < residuals.count { #expect(residuals[order] > 1e-4, "\(tableau.name): \(residuals)") }
    }
    check(tableau.weights, order: tableau.order)
    if let embedded = tableau.embedded { check(embedded.weights, order: embedded.order) }
    #expect(tableau.rows.indices.allSatisfy { tableau.rows[$0].count <= $0 })
  }

  @Test func shapesAreChecked() throws {
    func make(_ rows: [[Double]], _ weights: [Double], embedded: [Double]? = nil, order: Int = 1) throws {
      _ = try ButcherTableau(
        name: "x", order: order, rows: rows, weights: weights, embedded: embedded.map { .init(order: 1, weights: $0) },
        source: "")
    }
    try make([[], [1]], [0.5, 0.5], embedded: [1, 0])
    #expect(throws: SamplingError.self) { try make([], []) }
    #expect(throws: SamplingError.self) { try make([[]], [1], order: 0) }
    #expect(throws: SamplingError.self) { try make([[1]], [1]) }
    #expect(throws: SamplingError.self) { try make([[]], [0.5, 0.5]) }
    #expect(throws: SamplingError.self) { try make([[], [.nan]], [0.5, 0.5]) }
    #expect(throws: SamplingError.self) { try make([[], [1]], [0.5, 0.5], embedded: [1]) }
  }

  @Test func theOrdersOfAdamsBashforthAreChecked() {
    for order in [Int.min, 0, 1, 5, Int.max] {
      #expect(throws: SamplingError.self) { try FlowAdamsBashforth(order: order) }
    }
  }
}
