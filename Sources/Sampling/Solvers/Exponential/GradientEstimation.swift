/// Gradient estimation: Euler's method with ε leant away from what it was a step before.
///
/// Permenter and Yuan 2024, arXiv:2306.04848: ε̄ = gamma ε + (1 - gamma) ε of the step before, gamma 2. One
/// evaluation a step, first order: 3/2, on even steps, would be Adams and Bashforth's second.
public struct GradientEstimation: MultistepSolver {
  public let gamma: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless gamma is finite.
  public init(gamma: Double) throws(SamplingError) {
    guard gamma.isFinite else { throw .invalidOption(name: "gamma", found: "\(gamma)", expected: "a finite number") }
    self.gamma = gamma
  }

  /// With the paper's gamma, 2.
  public init() {
    gamma = 2
  }

  public var name: String { "gradient-estimation" }
  public var order: Int? { 1 }
  public var prediction: Prediction { .epsilon }
  /// How much it remembers.
  public var stepOrder: Int { 2 }
  public var extrapolatesToClean: Bool { true }

  public func update(_ step: MultistepStep) -> PlanExpression {
    let noiseLevel = NoiseLevelStep(from: step.start, to: step.end)
    var update = noiseLevel.carry * step.state + noiseLevel.slope * step.values[0].operand
    if step.order == 2 {
      update += noiseLevel.slope * (gamma - 1) * (1 * step.values[0].operand - 1 * step.values[1].operand)
    }
    return update
  }
}

extension GradientEstimation {
  static let entries = [
    SolverEntry(
      "gradient-estimation", "Euler's method with a second-order lean, gamma 2, 5 to 20 steps",
      paper: "arXiv:2306.04848", otherFamilies: [.flow], conventions: .noiseLevel
    ) { _ in GradientEstimation() }
  ]
}
