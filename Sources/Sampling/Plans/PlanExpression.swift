/// A linear combination as a solver writes it: `a * .state + b * data + c * .noise`.
public struct PlanExpression: Sendable {
  /// A tensor that an expression can name.
  public enum Operand: Hashable, Sendable {
    /// The state as it is now.
    case state
    /// Fresh standard normal noise.
    case noise
    /// A tensor of an earlier operation.
    case register(Int)
  }

  var coefficients: [(operand: Operand, coefficient: Double)]

  public static func + (left: PlanExpression, right: PlanExpression) -> PlanExpression {
    var sum = left
    for (operand, coefficient) in right.coefficients {
      if let index = sum.coefficients.firstIndex(where: { $0.operand == operand }) {
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
}

extension PlanExpression.Operand {
  public static func * (factor: Double, operand: PlanExpression.Operand) -> PlanExpression {
    PlanExpression(coefficients: [(operand, factor)])
  }
}
