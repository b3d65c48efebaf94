import Sampling
import Testing

@Suite("Solvers of either kind by name")
struct NamedSolverTests {
  @Test func everyNameIsFoundInItsKind() throws {
    for entry in SolverCatalogue.all {
      for name in [entry.name, entry.name.uppercased()] + entry.aliases {
        guard case .planned(let found) = try NamedSolver(named: name) else {
          Issue.record("\(name) is adaptive")
          continue
        }
        #expect(found.name == entry.name)
        #expect(try NamedSolver(named: name).family == entry.family)
      }
    }
    for entry in AdaptiveCatalogue.all {
      guard case .adaptive(let found) = try NamedSolver(named: entry.name.uppercased()) else {
        Issue.record("\(entry.name) is planned")
        continue
      }
      #expect(found.name == entry.name)
      #expect(try NamedSolver(named: entry.name).family == entry.family)
    }
  }

  /// Planned solvers first, then adaptive ones, each once and each accepted.
  @Test(arguments: ["nope", "", "ddim "]) func anUnknownNameListsBothKinds(_ name: String) throws {
    let names = SolverCatalogue.all.map(\.name) + AdaptiveCatalogue.all.map(\.name)
    #expect(Set(names).count == names.count)
    let error = #expect(throws: SamplingError.unknownSolver(name, known: names)) { try NamedSolver(named: name) }
    for known in names {
      #expect(error?.description.contains(known) == true)
      _ = try NamedSolver(named: known)
    }
  }
}
