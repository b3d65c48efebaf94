extension SolverCatalogue {
  /// Classical solvers on the straight path of rectified flow.
  static let flow: [SolverEntry] = FlowEuler.entries + FlowMidpoint.entries + FlowHeun.entries
}
