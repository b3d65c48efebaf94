import RealModule

/// CFG++: the clean image is the guided one, and the noise that it is given again is the unconditional prediction's.
///
/// Chung et al. 2024, arXiv:2406.08070, algorithm 2; ancestral and multistep forms as in ComfyUI. The guidance scale is
/// the paper's λ, within 0 and 1: the guided image is D_u + λ (D_c - D_u), as classifier-free guidance of scale λ makes
/// it. A step of the first order is, term by term, one of DDIM under classifier-free guidance of scale
///
///     w = λ / (1 - e^(-h)),  h the step in half log-SNR
///
/// which grows without bound as steps get shorter: what λ does depends on their number, and no ODE is approached unless
/// λ = 0 or both branches agree. There, and without guidance, the solvers are DDIM, Euler ancestral and DPM++ 2M.
public struct CFGPlusPlus: Solver {
  public enum Method: Hashable, Sendable {
    /// DDIM, and Euler's method, which is the same; with noise as ``EulerAncestral`` has, eta in 0...1.
    case euler(eta: Double)
    /// DPM++ 2M of the unconditional prediction, the guidance's part added. ComfyUI's form takes the slope from the
    /// older unconditional image to the newer guided one, which adds half of the guidance again.
    case multistep
  }

  public let method: Method

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless eta lies in 0...1.
  public init(_ method: Method = .euler(eta: 0)) throws(SamplingError) {
    if case .euler(let eta) = method { _ = try AncestralNoise(eta: eta) }
    self.method = method
  }

  private var eta: Double { if case .euler(let eta) = method { eta } else { 0 } }

  public var name: String {
    switch method {
    case .euler(eta: 0): "ddim-cfg++"
    case .euler: "euler-ancestral-cfg++"
    case .multistep: "dpm++2m-cfg++"
    }
  }

  /// Without guidance.
  public var order: Int? { eta > 0 ? nil : method == .multistep ? 2 : 1 }
  public var stochasticOrder: StochasticOrder? { eta > 0 ? StochasticOrder(weak: 1, strong: 1) : nil }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    var earlier: (sample: PlanBuilder.Operand, h: Double)?
    for (s, t) in steps {
      let step = ReverseStep(ancestral: eta, from: s, to: t)
      let outputs = plan.evaluateWithUnguided(at: s)
      let guided = plan.convert(outputs.guided, to: .sample)
      let unguided = plan.convert(outputs.unguided, to: .sample)
      // x_t of the unconditional prediction, and alpha_t times what guidance adds to the image.
      var update = step.carry * .state + step.weight(1) * unguided + t.alpha * (1 * guided - 1 * unguided)
      if let earlier, method == .multistep, !t.isClean {
        update += step.weight(1) / 2 * step.h / earlier.h * (1 * unguided - 1 * earlier.sample)
      }
      plan.step(update + step.deviation * .noise(from: s, to: t))
      earlier = (unguided, step.h)
    }
  }
}

extension CFGPlusPlus {
  static let entries = [
    entry("ddim-cfg++", .euler(eta: 0), "DDIM", .discrete.with { $0.end = nil }),
    entry("euler-ancestral-cfg++", .euler(eta: 1), "Euler's method with fresh noise", .noiseLevel),
    entry("dpm++2m-cfg++", .multistep, "DPM++ 2M", .multistep),
  ]

  private static func entry(_ name: String, _ method: Method, _ what: String, _ conventions: GridConventions)
    -> SolverEntry
  {
    SolverEntry(
      name, "\(what) that renoises with the unconditional output, guidance scales 0 to 1", paper: "arXiv:2406.08070",
      conventions: conventions
    ) { _ throws(SamplingError) in try CFGPlusPlus(method) }
  }
}
