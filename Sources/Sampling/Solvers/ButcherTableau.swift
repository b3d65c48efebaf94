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

  public struct Embedded: Hashable, Sendable {
    public let order: Int
    public let weights: [Double]
  }

  init(_ name: String, order: Int, rows: [[Double]], weights: [Double], embedded: Embedded? = nil) {
    self.name = name
    self.order = order
    self.rows = rows
    self.weights = weights
    self.embedded = embedded
  }

  public var stages: Int { weights.count }

  /// Where each stage lies, as a fraction of the step.
  public var nodes: [Double] { rows.map { $0.reduce(0, +) } }

  /// Whether no stage after the first lies at the step's end, where a clean image leaves a model nothing to predict.
  var staysInside: Bool { nodes.allSatisfy { $0 < 1 } }
}

extension ButcherTableau {
  public static let euler = ButcherTableau("euler", order: 1, rows: [[]], weights: [1])

  /// Runge 1895.
  public static let midpoint = ButcherTableau(
    "midpoint", order: 2, rows: [[], [1 / 2.0]], weights: [0, 1], embedded: .init(order: 1, weights: [1, 0]))

  /// Heun 1900; the trapezoidal rule.
  public static let heun = ButcherTableau(
    "heun", order: 2, rows: [[], [1]], weights: [1 / 2.0, 1 / 2.0], embedded: .init(order: 1, weights: [1, 0]))

  /// Ralston 1962, Math. Comp. 16, 431: the third order with the least bound of the error. Its weights are those of
  /// Bogacki and Shampine.
  public static let ralston3 = ButcherTableau(
    "ralston3", order: 3, rows: [[], [1 / 2.0], [0, 3 / 4.0]], weights: [2 / 9.0, 1 / 3.0, 4 / 9.0],
    embedded: .init(order: 2, weights: [0, 1, 0]))

  /// Kutta 1901: the classical fourth order.
  public static let rungeKutta4 = ButcherTableau(
    "rk4", order: 4, rows: [[], [1 / 2.0], [0, 1 / 2.0], [0, 0, 1]],
    weights: [1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0], embedded: .init(order: 2, weights: [0, 1, 0, 0]))
}
