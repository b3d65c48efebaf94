/// Every solver there is, by name. Each family lists its own, next to its code.
public enum SolverCatalogue {
  public static let all: [SolverEntry] =
    DDPM.entries + DDIM.entries
    + DPMSolverSinglestep.entries + DPMSolverMultistep.entries
    + Euler.entries + Heun.entries
    + FlowEuler.entries + FlowMidpoint.entries + FlowHeun.entries

  /// The entry called `name`, letters of either case.
  ///
  /// - Throws: ``SamplingError/unknownSolver(_:known:)``.
  public static func entry(named name: String) throws(SamplingError) -> SolverEntry {
    let wanted = name.lowercased()
    guard let entry = all.first(where: { ([$0.name] + $0.aliases).contains { $0.lowercased() == wanted } }) else {
      throw .unknownSolver(name, known: all.map(\.name))
    }
    return entry
  }
}
