/// DPM-Solver and DPM-Solver++ as multistep methods: one evaluation a step, derivatives from the steps before.
///
/// Lu et al. 2022, arXiv:2206.00927 (prediction ε) and arXiv:2211.01095, algorithm 2 (prediction x₀, the `++` forms).
/// Starts with lower orders. A step to sigma 0 is of first order, which is exact there: the state becomes x₀.
public struct DPMSolverMultistep: MultistepSolver {
  /// How derivatives enter the second order.
  public enum Variant: String, Sendable, CaseIterable {
    /// φ₁/2 in the place of φ₂: the papers' default.
    case midpoint
    /// φ₂ itself.
    case heun
  }

  /// How the third order's second derivative is weighted.
  public enum ThirdOrder: String, Sendable, CaseIterable {
    /// As in the authors' and diffusers' programs: half of f″, which leaves the method at order 2.
    case published
    /// The divided difference doubled to f″, and the second step taken anew from the first point, whose first-order
    /// start would else be the largest error: order 3, at no further evaluation.
    case consistent
  }

  /// `.sample` for DPM-Solver++, `.epsilon` for DPM-Solver.
  public let prediction: Prediction
  /// The highest order used: 1, 2 or 3.
  public let stepOrder: Int
  public let variant: Variant
  public let thirdOrder: ThirdOrder
  /// Lowers the order of the last steps to 2 and 1, as diffusers does below 15 steps.
  public let lowersFinalOrder: Bool
  /// Makes the last step one of first order: diffusers' `euler_at_final`.
  public let eulerAtFinal: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...3 or another prediction.
  public init(
    _ prediction: Prediction, order: Int, variant: Variant = .midpoint, thirdOrder: ThirdOrder = .published,
    lowersFinalOrder: Bool = false, eulerAtFinal: Bool = false
  ) throws(SamplingError) {
    try checkDPMOptions(prediction, order: order)
    self.prediction = prediction
    self.stepOrder = order
    self.variant = variant
    self.thirdOrder = thirdOrder
    self.lowersFinalOrder = lowersFinalOrder
    self.eulerAtFinal = eulerAtFinal
  }

  public var name: String {
    let isConsistent = stepOrder == 3 && thirdOrder == .consistent
    return "\(prediction == .sample ? "dpm++" : "dpm-solver-")\(stepOrder)m\(isConsistent ? "-consistent" : "")"
  }

  public var order: Int? { stepOrder == 3 && thirdOrder == .published ? 2 : stepOrder }

  public var retakesSecondStep: Bool { stepOrder == 3 && thirdOrder == .consistent }

  public func update(_ multistep: MultistepStep) -> PlanExpression {
    let step = ExponentialStep(prediction, from: multistep.start, to: multistep.end)
    let values = multistep.values.map(\.operand)
    let update = step.carry * multistep.state + step.weight(1) * values[0]
    guard multistep.order > 1 else { return update }
    let lambdas = multistep.values.map(\.point.lambda)
    // Divided differences of f over lambda, times h.
    let recent = lambdas[0] - lambdas[1]
    let slope = step.h / recent * (1 * values[0] - 1 * values[1])
    if multistep.order == 2 {
      let isMidpoint = variant == .midpoint && !multistep.isRetaken
      return update + (isMidpoint ? step.weight(1) / 2 : step.weight(2)) * slope
    }
    let before = lambdas[1] - lambdas[2]
    let span = recent + before
    let difference = slope - step.h / before * (1 * values[1] - 1 * values[2])
    let first = slope + recent / span * difference
    let second = (thirdOrder == .consistent ? 2 : 1) * step.h / span * difference
    return update + step.weight(2) * first + step.weight(3) * second
  }
}

/// Refuses what neither DPM-Solver nor DPM-Solver++ is.
func checkDPMOptions(_ prediction: Prediction, order: Int) throws(SamplingError) {
  guard (1...3).contains(order) else {
    throw .invalidOption(name: "the order of DPM-Solver", found: "\(order)", expected: "1, 2 or 3")
  }
  guard prediction == .sample || prediction == .epsilon else {
    throw .invalidOption(
      name: "the prediction of DPM-Solver", found: prediction.rawValue, expected: "sample (++) or epsilon")
  }
}

extension DPMSolverMultistep {
  static let entries = [
    entry(.epsilon, order: 2), entry(.epsilon, order: 3),
    entry(.sample, order: 2, aliases: ["DPMSolverMultistepScheduler"]), entry(.sample, order: 3),
    entry(.sample, order: 3, thirdOrder: .consistent),
  ]

  private static func entry(
    _ prediction: Prediction, order: Int, aliases: [String] = [], thirdOrder: ThirdOrder = .published
  ) -> SolverEntry {
    let stem = prediction == .sample ? "dpm++\(order)m" : "dpm-solver-\(order)m"
    let published = order == 3 && thirdOrder == .published
    return SolverEntry(
      stem + (thirdOrder == .consistent ? "-consistent" : ""), aliases: aliases,
      "multistep, order \(order)\(published ? " by name and 2 by measurement" : ""), 10 to 20 steps",
      paper: prediction == .sample ? "arXiv:2211.01095" : "arXiv:2206.00927",
      otherFamilies: prediction == .sample ? [.flow] : [],
      conventions: .multistep.with { $0.end = prediction == .sample ? .clean : .leastNoise }
    ) { steps throws(SamplingError) in
      // diffusers lowers the final orders of short runs only.
      try DPMSolverMultistep(prediction, order: order, thirdOrder: thirdOrder, lowersFinalOrder: steps < 15)
    }
  }
}
