/// iPNDM: Adams-Bashforth methods in σ̂ = sigma / alpha, with lower orders at the start. One evaluation a step.
///
/// Zhang and Chen 2023, arXiv:2204.13902, after Liu et al. 2022, arXiv:2202.09778, eq. 12. The last step, to sigma 0,
/// is like the others: ε goes on to the end. With ``Spacing/even`` these are the classic weights, which are right where
/// the steps in σ̂ are equal, and of order 2 where neighbours become alike as steps grow many; ``Spacing/uneven``
/// (`iPNDM_v`) has the weights of the grid, and is k-diffusion's LMS. Either way the first step, of first order, leaves
/// order 2, unless it is short: then `uneven` has the order of its name. The program that introduced iPNDM_v
/// (diff-sampler) misplaces a bracket in the third weights, which are right on equal steps alone, and a sign in the
/// fourth, which are right nowhere.
public struct IPNDM: MultistepSolver {
  /// What the weights take the steps for.
  public enum Spacing: String, Hashable, Sendable, CaseIterable {
    /// Equal in σ̂.
    case even
    /// What they are.
    case uneven
  }

  public let stepOrder: Int
  public let spacing: Spacing

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...4.
  public init(order: Int = 4, spacing: Spacing = .even) throws(SamplingError) {
    try checkMultistepOptions("iPNDM", .epsilon, order: order)
    self.stepOrder = order
    self.spacing = spacing
  }

  public var name: String { "ipndm\(stepOrder)\(spacing == .uneven ? "-v" : "")" }
  public var order: Int? { adamsOrder }
  public var prediction: Prediction { .epsilon }
  public var extrapolatesToClean: Bool { true }

  public func update(_ step: MultistepStep) -> PlanExpression {
    let noiseLevel = NoiseLevelStep(from: step.start, to: step.end)
    let values = step.values.prefix(step.order)
    let start = step.start.noiseToSignal
    let nodes = values.enumerated().map { index, value in
      switch spacing {
      case .even: -Double(index)
      case .uneven: index == 0 ? 0 : (value.point.noiseToSignal - start) / (step.end.noiseToSignal - start)
      }
    }
    return zip(values, lagrangeWeights(nodes, 0)).reduce(noiseLevel.carry * step.state) { sum, term in
      sum + noiseLevel.slope * term.1 * term.0.operand
    }
  }
}

extension IPNDM {
  static let entries = [
    entry(.even, order: 4, aliases: ["ipndm", "IPNDMScheduler"]),
    entry(.uneven, order: 4, aliases: ["ipndm-v", "lms", "LMSDiscreteScheduler"]),
  ]

  private static func entry(_ spacing: Spacing, order: Int, aliases: [String]) -> SolverEntry {
    SolverEntry(
      "ipndm\(order)\(spacing == .uneven ? "-v" : "")", aliases: aliases,
      spacing == .even
        ? "Adams-Bashforth of order \(order) with the weights of equal steps in sigma / alpha, 5 to 20 steps"
        : "Adams-Bashforth of order \(order) in sigma / alpha with the grid's weights, 5 to 20 steps",
      paper: "arXiv:2204.13902", otherFamilies: [.flow], conventions: .noiseLevel
    ) { _ throws(SamplingError) in
      try IPNDM(order: order, spacing: spacing)
    }
  }
}
