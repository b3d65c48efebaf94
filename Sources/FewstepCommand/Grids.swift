import ArgumentParser
import Fewstep

struct Grids: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "List the grids of times and the paper of each.")

  @Flag(help: "Print JSON.")
  var json = false

  private struct Row: Encodable {
    let name: String
    let aliases: [String]
    let summary: String
    let paper: String
  }

  func run() throws {
    let rows = GridSpacing.allCases.map {
      Row(name: $0.rawValue, aliases: $0.aliases, summary: $0.summary, paper: $0.paper)
    }
    guard !json else { return try printJSON(rows) }
    print(
      table(
        [["name", "also", "what it is", "paper"]]
          + rows.map { [$0.name, $0.aliases.isEmpty ? "-" : $0.aliases.joined(separator: ", "), $0.summary, $0.paper] })
    )
  }
}
