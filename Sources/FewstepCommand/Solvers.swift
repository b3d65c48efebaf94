import ArgumentParser
import Fewstep

struct Solvers: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "List the solvers and the paper of each.")

  @Flag(help: "Print JSON.")
  var json = false

  private struct Row: Encodable {
    let name: String
    let aliases: [String]
    let family: SolverEntry.Family
    let order: Int?
    let summary: String
    let paper: String
  }

  func run() throws {
    let rows = try SolverCatalogue.all.map { entry in
      Row(
        name: entry.name, aliases: entry.aliases, family: entry.family, order: try entry.make(20).order,
        summary: entry.summary, paper: entry.paper)
    }
    guard !json else { return try printJSON(rows) }
    print(
      table(
        [["name", "model", "order", "what it is", "paper"]]
          + rows.map { [$0.name, $0.family.rawValue, $0.order.map(String.init) ?? "-", $0.summary, $0.paper] }))
  }
}
