/// A solver of either kind, as users ask for it by name.
public enum NamedSolver: Sendable {
  /// Its steps are planned beforehand.
  case planned(SolverEntry)
  /// It chooses its steps as it goes.
  case adaptive(AdaptiveEntry)

  /// Every name of the field, in the order of the catalogues: planned solvers, then adaptive ones.
  public static var names: [String] { SolverCatalogue.all.map(\.name) + AdaptiveCatalogue.all.map(\.name) }

  /// The solver called `name`, letters of either case.
  ///
  /// - Throws: ``SamplingError/unknownSolver(_:known:)`` with all of ``names``.
  public init(named name: String) throws(SamplingError) {
    if let entry = try? AdaptiveCatalogue.entry(named: name) {
      self = .adaptive(entry)
    } else if let entry = try? SolverCatalogue.entry(named: name) {
      self = .planned(entry)
    } else {
      throw .unknownSolver(name, known: Self.names)
    }
  }

  /// The kind of model it was made for.
  public var family: SolverEntry.Family {
    switch self {
    case .planned(let entry): entry.family
    case .adaptive(let entry): entry.family
    }
  }
}
