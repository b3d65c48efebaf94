extension SolverCatalogue {
  /// Solvers of the reverse SDE.
  static let stochastic: [SolverEntry] = []
}
