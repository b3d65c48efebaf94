import RealModule

/// An embedded Runge-Kutta pair on the probability-flow ODE, whose last stage is the next step's first.
///
/// On a diffusion's path the equation is dx̂/dσ̂ = ε in the noise level σ̂ = sigma / alpha, with x̂ = x / alpha (Karras
/// et al. 2022, arXiv:2206.00364); on a straight path dx/dsigma = u, u the flow velocity. Step lengths are counted in
/// lambda and in sigma.
public struct RungeKuttaPair: EmbeddedPair, Hashable {
  public enum Method: String, Hashable, Sendable, Codable, CaseIterable {
    /// Orders 3 and 2, three new evaluations a step: Bogacki and Shampine 1989, Appl. Math. Lett. 2, 321.
    case bogackiShampine
    /// Orders 5 and 4, six new evaluations a step: Dormand and Prince 1980, J. Comput. Appl. Math. 6, 19.
    case dormandPrince
  }

  /// What the equation is written in.
  public enum Variable: String, Hashable, Sendable, Codable, CaseIterable {
    /// sigma / alpha.
    case noiseLevel
    /// sigma, on straight paths.
    case sigma
  }

  public let method: Method
  public let variable: Variable

  public init(_ method: Method, in variable: Variable) {
    self.method = method
    self.variable = variable
  }

  public var name: String {
    (variable == .sigma ? "flow-" : "") + tableau.name
  }
  public var order: Int { tableau.order }
  public var lowerOrder: Int { order - 1 }
  public var stages: Int { tableau.stages }
  public var reusesLastStage: Bool { true }
  public var clock: StepClock { variable == .sigma ? .sigma : .lambda }
  public var tolerancePerStep: Double { method == .bogackiShampine && variable == .noiseLevel ? 0.5 : 3 }

  public func check(from s: TimePoint, to t: TimePoint) throws(SamplingError) {
    switch variable {
    case .noiseLevel:
      guard s.alpha > 0 else {
        throw .incompatible(
          solver: name, reason: "it works in sigma / alpha, which is infinite at timestep \(s.timestep)")
      }
    case .sigma:
      guard [s, t].allSatisfy({ abs($0.alpha + $0.sigma - 1) < 1e-9 }) else {
        throw .incompatible(solver: name, reason: "it needs a rectified-flow model, where alpha + sigma is 1")
      }
    }
  }

  public func step(from s: TimePoint, to t: TimePoint, on path: any NoisePath, into plan: inout PlanBuilder) {
    let state = plan.currentState
    var slopes: [PlanBuilder.Operand] = []
    func sum(_ weights: [Double], at point: TimePoint) -> PlanExpression {
      let slope = variable == .sigma ? t.sigma - s.sigma : point.alpha * (t.noiseToSignal - s.noiseToSignal)
      return zip(weights, slopes).reduce(.zero) { $0 + slope * $1.0 * $1.1 }
    }
    func carry(to point: TimePoint) -> PlanExpression {
      (variable == .sigma ? 1 : point.alpha / s.alpha) * state
    }
    let prediction: Prediction = variable == .sigma ? .flow : .epsilon
    for row in tableau.rows.dropLast() {
      let node = row.reduce(0, +)
      let point = row.isEmpty ? s : node == 1 ? t : self.point(node, from: s, to: t, on: path)
      let stage = row.isEmpty ? state : plan.stage(carry(to: point) + sum(row, at: point))
      slopes.append(plan.evaluate(prediction, at: point, of: stage))
    }
    plan.move(carry(to: t) + sum(tableau.rows[stages - 1], at: t))
    slopes.append(plan.evaluate(prediction, at: t))
    if let difference = tableau.difference { plan.estimateError(sum(difference, at: t)) }
  }

  private func point(_ fraction: Double, from s: TimePoint, to t: TimePoint, on path: any NoisePath) -> TimePoint {
    switch variable {
    case .sigma: StepClock.sigma.point(at: -(s.sigma + fraction * (t.sigma - s.sigma)), on: path)
    case .noiseLevel:
      path.point(lambda: -.log(s.noiseToSignal + fraction * (t.noiseToSignal - s.noiseToSignal)))
    }
  }

  private var tableau: ButcherTableau { method == .bogackiShampine ? .bogackiShampine : .dormandPrince }
}
