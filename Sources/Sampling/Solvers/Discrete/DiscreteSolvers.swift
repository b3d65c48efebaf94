extension SolverCatalogue {
  /// Solvers that visit the timesteps a model was trained on.
  static let discrete: [SolverEntry] =
    DDPM.entries + DDIM.entries + PNDM.entries + ConsistencySteps.entries + TCD.entries
}
