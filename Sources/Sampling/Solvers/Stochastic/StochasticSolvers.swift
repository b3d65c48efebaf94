extension SolverCatalogue {
  /// Solvers of the reverse SDE, and CFG++.
  static let stochastic: [SolverEntry] =
    DPMSolverSDEMultistep.entries + DPMSolverSDESinglestep.entries + DPMPlusPlusSDE.entries + EulerAncestral.entries
    + SecondOrderAncestral.entries + ChurnedSolver.entries + SASolver.entries + ERSDE.entries + CFGPlusPlus.entries
}
