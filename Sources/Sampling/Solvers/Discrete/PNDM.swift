/// PNDM: linear multistep and Runge-Kutta weights on ε, moved by DDIM's step.
///
/// Liu et al. 2022, arXiv:2202.09778, eq. 11 to 13 and algorithm 2. The weights are those of equal steps in the
/// timestep, the step itself is exact for constant ε, and so the order is 2, whatever the number of values. The start
/// is made with pseudo Runge-Kutta steps, four evaluations each, or, as Stable Diffusion does (PLMS), with one step
/// taken twice.
public struct PNDM: Solver {
  public enum Start: String, Hashable, Sendable, CaseIterable {
    /// Three steps of the pseudo Runge-Kutta method (PRK), each over two intervals of the grid, the inner point being
    /// its middle: ``HalvedGrid`` makes such a grid.
    case rungeKutta
    /// The first step is taken twice, the second time with the mean of ε at both ends: one evaluation more in all.
    case repeated
  }

  public let start: Start

  public init(start: Start = .repeated) {
    self.start = start
  }

  public var name: String { start == .rungeKutta ? "pndm-prk" : "pndm" }
  public var order: Int? { 2 }

  /// Steps that the Runge-Kutta start goes.
  static let startingSteps = 3

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    let points = steps.points
    var values: [PlanBuilder.Operand] = []  // newest first
    var position = 0
    if start == .rungeKutta {
      for _ in 0..<Self.startingSteps where position + 2 <= steps.count && !points[position + 2].isClean {
        values.insert(rungeKutta(Array(points[position...position + 2]), into: &plan), at: 0)
        position += 2
      }
    }
    while position < steps.count {
      let (s, t) = (points[position], points[position + 1])
      values = [plan.evaluate(.epsilon, at: s)] + values.prefix(3)
      if position == 0, start == .repeated, !t.isClean {
        let state = plan.currentState
        let ahead = plan.evaluate(.epsilon, at: t, of: plan.stage(Self.moved(state, from: s, to: t, 1 * values[0])))
        plan.step(Self.moved(state, from: s, to: t, 0.5 * ahead + 0.5 * values[0]))
      } else {
        let mean = Self.adamsBashforth(values)
        if values.count > 1 {
          let step = NoiseLevelStep(from: s, to: t)
          plan.estimateError(step.slope * (mean - Self.adamsBashforth(values.dropLast())))
        }
        plan.step(Self.moved(plan.currentState, from: s, to: t, mean))
      }
      position += 1
    }
  }

  /// One step over three points, of which the second is the middle; returns ε at the start.
  private func rungeKutta(_ points: [TimePoint], into plan: inout PlanBuilder) -> PlanBuilder.Operand {
    let (s, middle, t) = (points[0], points[1], points[2])
    let state = plan.currentState
    let first = plan.evaluate(.epsilon, at: s)
    plan.step(Self.moved(state, from: s, to: middle, 1 * first))
    let second = plan.evaluate(.epsilon, at: middle)
    let third = plan.evaluate(
      .epsilon, at: middle, of: plan.stage(Self.moved(state, from: s, to: middle, 1 * second)))
    let fourth = plan.evaluate(.epsilon, at: t, of: plan.stage(Self.moved(state, from: s, to: t, 1 * third)))
    let mean = 1 / 6.0 * first + 1 / 3.0 * second + 1 / 3.0 * third + 1 / 6.0 * fourth
    plan.step(Self.moved(state, from: s, to: t, mean))
    return first
  }

  /// DDIM's step with `epsilon` all the way: eq. 11.
  private static func moved(
    _ state: PlanBuilder.Operand, from s: TimePoint, to t: TimePoint, _ epsilon: PlanExpression
  ) -> PlanExpression {
    let step = NoiseLevelStep(from: s, to: t)
    return step.carry * state + step.slope * epsilon
  }

  /// ε over the next step, by the values before it: eq. 12.
  private static func adamsBashforth(_ values: some Collection<PlanBuilder.Operand>) -> PlanExpression {
    let weights = lagrangeWeights((0..<values.count).map { -Double($0) }, 0)
    return zip(values, weights).reduce(.zero) { $0 + $1.1 * $1.0 }
  }
}

extension PNDM {
  static let entries = [
    SolverEntry(
      "pndm", aliases: ["plms", "PNDMScheduler"],
      "PLMS: linear multistep in the timestep, second order, N + 1 evaluations",
      paper: "arXiv:2202.09778",
      conventions: .discrete.with {
        $0.clipsSamples = false; $0.end = nil
      }
    ) { _ in PNDM() },
    SolverEntry(
      "pndm-prk", "PNDM with its Runge-Kutta start, second order", paper: "arXiv:2202.09778",
      conventions: .discrete.with {
        $0.clipsSamples = false; $0.end = nil
      }
    ) { _ in PNDM(start: .rungeKutta) },
  ]
}
