/// An explicit Runge-Kutta method: where its stages lie, and how they are weighted.
///
/// Butcher 1963; Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", II.1 and II.4.
public struct ButcherTableau: Hashable, Sendable {
  /// The method's name in the field.
  public let name: String
  public let order: Int
  /// Row i has the weights of stages 0 ..< i in stage i; its sum, the node, is where in the step the stage lies.
  public let rows: [[Double]]
  /// The weights of the stages in the step.
  public let weights: [Double]
  /// Weights that give a result of a lower order, if there is one.
  public let embedded: Embedded?

  /// Where the method was published.
  public let source: String

  public struct Embedded: Hashable, Sendable {
    public let order: Int
    public let weights: [Double]

    public init(order: Int, weights: [Double]) {
      self.order = order
      self.weights = weights
    }
  }

  /// - Throws: `SamplingError.invalidOption` unless there is a stage, as many rows as weights (embedded ones too), row
  ///   i has at most i weights, all numbers are finite and orders positive. Whether the order is right is not checked.
  public init(
    name: String, order: Int, rows: [[Double]], weights: [Double], embedded: Embedded? = nil, source: String
  ) throws(SamplingError) {
    func check(_ holds: Bool, _ option: String, _ found: String, _ expected: String) throws(SamplingError) {
      if !holds { throw .invalidOption(name: "\(name)'s \(option)", found: found, expected: expected) }
    }
    try check(order > 0 && (embedded?.order ?? 1) > 0, "order", "\(order), \(embedded?.order ?? 1)", "positive")
    try check(!weights.isEmpty && weights.allSatisfy(\.isFinite), "weights", "\(weights)", "finite, at least one")
    try check(
      rows.count == weights.count
        && rows.indices.allSatisfy { rows[$0].count <= $0 && rows[$0].allSatisfy(\.isFinite) },
      "rows", "\(rows)", "\(weights.count) rows, row i with at most i finite weights")
    if let other = embedded?.weights {
      try check(
        other.count == weights.count && other.allSatisfy(\.isFinite), "embedded weights", "\(other)",
        "\(weights.count) finite weights")
    }
    self.init(name, order: order, rows: rows, weights: weights, embedded: embedded, source: source)
  }

  private init(
    _ name: String, order: Int, rows: [[Double]], weights: [Double], embedded: Embedded? = nil, source: String
  ) {
    self.name = name
    self.order = order
    self.rows = rows
    self.weights = weights
    self.embedded = embedded
    self.source = source
  }

  public var stages: Int { weights.count }

  /// Where each stage lies, as a fraction of the step.
  public var nodes: [Double] { rows.map { $0.reduce(0, +) } }

  /// What the embedded weights leave of the step: the weights of the estimate of its error.
  var difference: [Double]? {
    embedded.map { zip(weights, $0.weights).map { $0.0 - $0.1 } }
  }

  /// Whether no stage after the first lies at the step's end, where a clean image leaves a model nothing to predict.
  var staysInside: Bool { nodes.allSatisfy { $0 < 1 } }
}

extension ButcherTableau {
  public static let euler = ButcherTableau("euler", order: 1, rows: [[]], weights: [1], source: "Euler 1768")

  public static let midpoint = ButcherTableau(
    "midpoint", order: 2, rows: [[], [1 / 2.0]], weights: [0, 1], embedded: .init(order: 1, weights: [1, 0]),
    source: "Runge 1895")

  /// The trapezoidal rule.
  public static let heun = ButcherTableau(
    "heun", order: 2, rows: [[], [1]], weights: [1 / 2.0, 1 / 2.0], embedded: .init(order: 1, weights: [1, 0]),
    source: "Heun 1900")

  /// The third order with the least bound of the error. The pair of Bogacki and Shampine advances with it; the
  /// embedded second order here is the midpoint rule, which needs no fourth stage.
  public static let ralston3 = ButcherTableau(
    "ralston3", order: 3, rows: [[], [1 / 2.0], [0, 3 / 4.0]], weights: [2 / 9.0, 1 / 3.0, 4 / 9.0],
    embedded: .init(order: 2, weights: [0, 1, 0]), source: "Ralston 1962, Math. Comp. 16, 431")

  /// The classical fourth order.
  public static let rungeKutta4 = ButcherTableau(
    "rk4", order: 4, rows: [[], [1 / 2.0], [0, 1 / 2.0], [0, 0, 1]],
    weights: [1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0], embedded: .init(order: 2, weights: [0, 1, 0, 0]),
    source: "Kutta 1901")

  /// Orders 3 and 2; the last stage is the next step's first.
  public static let bogackiShampine = ButcherTableau(
    "bogacki-shampine", order: 3, rows: [[], [1 / 2.0], [0, 3 / 4.0], [2 / 9.0, 1 / 3.0, 4 / 9.0]],
    weights: [2 / 9.0, 1 / 3.0, 4 / 9.0, 0],
    embedded: .init(order: 2, weights: [7 / 24.0, 1 / 4.0, 1 / 3.0, 1 / 8.0]),
    source: "Bogacki and Shampine 1989, Appl. Math. Lett. 2, 321")

  /// Orders 5 and 4; the last stage is the next step's first.
  public static let dormandPrince: ButcherTableau = {
    let fifth: [Double] = [35 / 384.0, 0, 500 / 1113.0, 125 / 192.0, -2187 / 6784.0, 11 / 84.0]
    let fourth: [Double] = [
      5179 / 57600.0, 0, 7571 / 16695.0, 393 / 640.0, -92097 / 339200.0, 187 / 2100.0, 1 / 40.0,
    ]
    let row1: [Double] = [1 / 5.0]
    let row2: [Double] = [3 / 40.0, 9 / 40.0]
    let row3: [Double] = [44 / 45.0, -56 / 15.0, 32 / 9.0]
    let row4: [Double] = [19372 / 6561.0, -25360 / 2187.0, 64448 / 6561.0, -212 / 729.0]
    let row5: [Double] = [9017 / 3168.0, -355 / 33.0, 46732 / 5247.0, 49 / 176.0, -5103 / 18656.0]
    return ButcherTableau(
      "dormand-prince", order: 5, rows: [[], row1, row2, row3, row4, row5, fifth], weights: fifth + [0],
      embedded: .init(order: 4, weights: fourth), source: "Dormand and Prince 1980, J. Comput. Appl. Math. 6, 19")
  }()
}
