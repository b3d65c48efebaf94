extension SolverCatalogue {
  /// Deterministic solvers that are exact in the linear part of the probability-flow ODE.
  static let exponential: [SolverEntry] = DPMSolverSinglestep.entries + DPMSolverMultistep.entries
}
