extension SolverCatalogue {
  /// Deterministic solvers that are exact in the linear part of the probability-flow ODE, and their kin in sigma /
  /// alpha.
  static let exponential: [SolverEntry] =
    DPMSolverSinglestep.entries + DPMSolverMultistep.entries + UniPC.entries + DEIS.entries + IPNDM.entries
    + RESMultistep.entries + RESSinglestep.entries + GradientEstimation.entries
}
