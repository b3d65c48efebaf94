/// DEIS with polynomials in log ρ, ρ = sigma / alpha: the exponential Adams-Bashforth method in ε. One evaluation a
/// step.
///
/// Zhang and Chen 2023, arXiv:2204.13902 (tAB), with the polynomial in log ρ = -lambda as in diffusers' `logrho`; with
/// one in ρ it is ``IPNDM`` with ``IPNDM/Spacing/uneven``. The closed forms of the coefficients, which diffusers takes,
/// are differences of ρ log²ρ and lose a power of the step; these are sums of one sign. Order 2 on even grids, where
/// the first step, of first order, has the largest error, and the order of its name where that step is short; diffusers
/// has orders 1 to 3.
public struct DEIS: MultistepSolver {
  public let stepOrder: Int
  public let lowersFinalOrder: Bool
  /// Goes the second step of orders 3 and 4 anew from the first point: order 3 on even grids as well.
  public let retakesSecondStep: Bool

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...4.
  public init(
    order: Int, lowersFinalOrder: Bool = false, retakesSecondStep: Bool = false
  ) throws(SamplingError) {
    try checkMultistepOptions("DEIS", .epsilon, order: order)
    self.stepOrder = order
    self.lowersFinalOrder = lowersFinalOrder
    self.retakesSecondStep = retakesSecondStep && order > 2
  }

  public var name: String { "deis\(stepOrder)" }
  public var order: Int? { adamsOrder }
  public var prediction: Prediction { .epsilon }

  public func update(_ step: MultistepStep) -> PlanExpression {
    step.interpolated(.epsilon)
  }
}

extension DEIS {
  static let entries = [
    entry(order: 2, aliases: ["deis", "DEISMultistepScheduler"]), entry(order: 3), entry(order: 4),
  ]

  private static func entry(order: Int, aliases: [String] = []) -> SolverEntry {
    SolverEntry(
      "deis\(order)", aliases: aliases, "multistep in ε, interpolates order \(order) in log sigma, 10 to 20 steps",
      paper: "arXiv:2204.13902", conventions: .multistep.with { $0.end = .leastNoise }
    ) { steps throws(SamplingError) in
      // diffusers lowers the final orders of short runs only.
      try DEIS(order: order, lowersFinalOrder: steps < 15)
    }
  }
}
