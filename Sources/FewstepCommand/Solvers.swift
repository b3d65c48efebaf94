import ArgumentParser
import Fewstep

struct Solvers: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the solvers and the paper of each.",
    discussion: """
      The order is that of convergence on the probability-flow ODE; of a solver that adds noise, that of its distribution \
      on the reverse SDE, after a w. Adaptive solvers take --rtol in the place of --steps.
      """)

  @Flag(help: "Print JSON.")
  var json = false

  private struct Row: Encodable {
    let name: String
    let aliases: [String]
    let families: [String]
    /// nil for a solver that adds noise.
    let order: Int?
    let weakOrder: Double?
    let isAdaptive: Bool
    let summary: String
    let paper: String

    var cells: [String] {
      let noisy = weakOrder.map { "w\(Int($0))" } ?? "-"
      return [name, families.joined(separator: ", "), order.map(String.init) ?? noisy, summary, paper]
    }
  }

  func run() throws {
    let planned = try SolverCatalogue.all.map { entry in
      let solver = try entry.make(20)
      return Row(
        name: entry.name, aliases: entry.aliases, families: entry.families.map(\.rawValue).sorted(),
        order: solver.order, weakOrder: solver.stochasticOrder?.weak, isAdaptive: false, summary: entry.summary,
        paper: entry.paper)
    }
    let adaptive = AdaptiveCatalogue.all.map { entry in
      Row(
        name: entry.name, aliases: [], families: [entry.family.rawValue], order: entry.pair.order, weakOrder: nil,
        isAdaptive: true, summary: entry.summary, paper: entry.paper)
    }
    let rows = planned + adaptive
    guard !json else { return try printJSON(rows) }
    // Beside the longest name, all of it takes 120 columns.
    let titles = ["name", "model", "order", "what it is", "paper"]
    print(table([titles] + rows.map(\.cells), limits: [1: 10, 3: 52, 4: 17]))
  }
}
