/// Every solver there is, by name. Each folder lists its own.
public enum SolverCatalogue {
  public static let all: [SolverEntry] = discrete + exponential + noiseLevel + stochastic + flow

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
