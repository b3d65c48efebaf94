/// SDE-DPM-Solver++ as singlestep methods, on the arrangement of ``DPMSolverSinglestep``.
///
/// Lu et al. 2022, arXiv:2211.01095, and diffusers' `sde-dpmsolver++` of its singlestep class. The stages of a step see
/// nested stretches of one Brownian path. diffusers draws the noise of every stage afresh, which keeps the distribution
/// at first order: the noise of a stage then has nothing to do with that of the step it predicts for. With three stages
/// the mean is of third order and the variance of second, as in ``DPMSolverSDEMultistep``.
public struct DPMSolverSDESinglestep: Solver {
  /// How the form with two derivatives weights the second, which is heun's of order 3.
  public enum ThirdOrder: String, Sendable, CaseIterable {
    /// As diffusers computes it: with a sign wrong. Its noise does not shrink with the steps: it does not converge.
    case published
    case consistent
  }

  public let thirdOrder: ThirdOrder
  public let eta: Double
  public let noiseScale: Double
  private let arrangement: DPMSolverSinglestep

  /// - Parameters:
  ///   - prediction: `.sample` or `.epsilon`.
  ///   - order: the highest used, 1, 2 or 3.
  ///   - eta: τ²: 0 leaves the probability-flow ODE, 1 is the reverse diffusion.
  ///   - noiseScale: multiplies the noise; 1 keeps the marginals.
  ///   - lowersFinalOrder: ends with a step of first order.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...3, another prediction, or
  ///   noise that is negative.
  public init(
    _ prediction: Prediction, order: Int, variant: DPMSolverMultistep.Variant = .midpoint,
    thirdOrder: ThirdOrder = .consistent, eta: Double = 1, noiseScale: Double = 1, lowersFinalOrder: Bool = false
  ) throws(SamplingError) {
    try checkNoise("eta", eta)
    try checkNoise("the scale of the noise", noiseScale)
    arrangement = try DPMSolverSinglestep(
      prediction, order: order, variant: variant, lowersFinalOrder: lowersFinalOrder)
    self.thirdOrder = thirdOrder
    self.eta = eta
    self.noiseScale = noiseScale
  }

  public var prediction: Prediction { arrangement.prediction }
  public var stepOrder: Int { arrangement.stepOrder }
  public var variant: DPMSolverMultistep.Variant { arrangement.variant }
  private var isPublished: Bool { stepOrder == 3 && variant == .heun && thirdOrder == .published }

  public var name: String {
    "\(prediction == .sample ? "dpm++" : "dpm-solver-")\(stepOrder)s-sde\(isPublished ? "-published" : "")"
  }

  public var order: Int? { eta == 0 ? (isPublished ? 1 : stepOrder) : nil }

  public var stochasticOrder: StochasticOrder? {
    eta == 0 || isPublished ? nil : StochasticOrder(weak: stepOrder == 1 ? 1 : 2, strong: 1)
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try arrangement.compile(
      steps, into: &plan,
      step: { ReverseStep(prediction, from: $0, to: $1, tauSquared: eta, hasPublishedThird: isPublished) },
      noise: { step, s, t in noiseScale * step.deviation * .noise(from: s, to: t) })
  }
}

extension DPMSolverSDESinglestep {
  static let entries = [2, 3].map { order in
    SolverEntry(
      "dpm++\(order)s-sde", "reverse SDE, singlestep, order \(order == 2 ? "2" : "3 without noise and 2 with it")",
      paper: "arXiv:2211.01095", conventions: .multistep.with { $0.hasFixedSpacing = true }
    ) { _ throws(SamplingError) in try DPMSolverSDESinglestep(.sample, order: order) }
  }
}
