extension SolverCatalogue {
  /// Classical solvers on the straight path of rectified flow.
  static let flow: [SolverEntry] = FlowRungeKutta.entries + FlowAdamsBashforth.entries
}
