/// DDIM run backwards: from an image to the noise that DDIM makes it of.
///
/// Song, Meng and Ermon 2021, arXiv:2010.02502, section 5.4; first order. On a rising grid.
public struct DDIMInversion: Solver, Hashable {
  /// Tells the model the time where the step ends, though the state is that of its start, as diffusers'
  /// `DDIMInverseScheduler` and the editing methods built on it do: their ε is then that of the step which DDIM will
  /// take back.
  public let tellsEnd: Bool

  public init(tellsEnd: Bool = false) {
    self.tellsEnd = tellsEnd
  }

  public var name: String { "ddim-inversion" }
  public var order: Int? { 1 }
  public var isInversion: Bool { true }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireSignal(steps)
    for (s, t) in steps {
      let seen = TimePoint(timestep: tellsEnd ? t.timestep : s.timestep, alpha: s.alpha, sigma: s.sigma)
      let output = plan.evaluate(at: seen)
      let sample = plan.convert(output, to: .sample)
      let epsilon = plan.convert(output, to: .epsilon)
      plan.step(t.alpha * sample + t.sigma * epsilon)
    }
  }
}

/// A multistep solver run backwards, from an image to noise, on a rising grid that starts with some noise.
///
/// diffusers' `DPMSolverMultistepInverseScheduler` is this for DPM-Solver++.
public struct Inverted<Base: MultistepSolver>: Solver {
  public let base: Base

  public init(_ base: Base) {
    self.base = base
  }

  public var name: String { "\(base.name)-inversion" }
  public var order: Int? { base.order }
  public var isInversion: Bool { true }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try requireNoise(steps)
    try base.compile(steps, into: &plan)
  }
}
