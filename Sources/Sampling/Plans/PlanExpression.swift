/// A linear combination as a solver writes it: `a * .state + b * data + c * .noise`.
public struct PlanExpression: Sendable {
  /// A tensor that an expression can name.
  public enum Operand: Hashable, Sendable {
    /// The state as it is now.
    case state
    /// Fresh standard normal noise, a draw of its own wherever it is written.
    case noise
    /// What the driving Brownian path adds between two values of lambda, scaled to variance 1.
    case increment(from: Double, to: Double)
    /// An increment of which each element is multiplied by e^(offset + slope × that of the register `variance`).
    case learnedNoise(from: Double, to: Double, variance: Int, slope: Double, offset: Double)
    /// A tensor of an earlier operation.
    case register(Int)

    /// The noise of a reverse diffusion between two points, scaled to variance 1: increments over intervals that do
    /// not overlap are independent, and those over parts of an interval add up to the whole's.
    public static func noise(from s: TimePoint, to t: TimePoint) -> Operand {
      .increment(from: s.lambda, to: t.lambda)
    }

    /// The same noise, each element times the exponential of `offset` + `slope` × that of a model's learned variance.
    ///
    /// - Precondition: `variance` is a tensor of an earlier operation.
    public static func noise(
      from s: TimePoint, to t: TimePoint, variance: Operand, slope: Double, offset: Double
    ) -> Operand {
      guard case .register(let register) = variance else { preconditionFailure("\(variance) is no model's output") }
      return .learnedNoise(from: s.lambda, to: t.lambda, variance: register, slope: slope, offset: offset)
    }
  }

  private(set) var coefficients: [(operand: Operand, coefficient: Double)]

  /// The sum of nothing.
  public static let zero = PlanExpression(coefficients: [])

  public static func + (left: PlanExpression, right: PlanExpression) -> PlanExpression {
    var sum = left
    for (operand, coefficient) in right.coefficients {
      if operand != .noise, let index = sum.coefficients.firstIndex(where: { $0.operand == operand }) {
        sum.coefficients[index].coefficient += coefficient
      } else {
        sum.coefficients.append((operand, coefficient))
      }
    }
    return sum
  }

  public static func - (left: PlanExpression, right: PlanExpression) -> PlanExpression {
    left + -1 * right
  }

  public static func * (factor: Double, expression: PlanExpression) -> PlanExpression {
    PlanExpression(coefficients: expression.coefficients.map { ($0.operand, factor * $0.coefficient) })
  }

  public static func += (left: inout PlanExpression, right: PlanExpression) { left = left + right }
}

extension PlanExpression.Operand {
  public static func * (factor: Double, operand: PlanExpression.Operand) -> PlanExpression {
    PlanExpression(coefficients: [(operand, factor)])
  }
}
