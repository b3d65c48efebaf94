extension SolverCatalogue {
  /// Classical solvers in the noise level sigma / alpha, k-diffusion's and EDM's.
  static let noiseLevel: [SolverEntry] = Euler.entries + Heun.entries + DPM2.entries
}
