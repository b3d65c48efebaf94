import Fewstep
import Foundation
import Testing

@Suite("fewstep solvers, plan and tokenize")
struct OtherCommandTests {
  @Test func helpListsTheCommands() throws {
    let result = try CommandResult("fewstep", ["--help"])
    #expect(
      result.output == """
        OVERVIEW: Samples text-to-image diffusion models in few steps, on the CPU.

        USAGE: fewstep <subcommand>

        OPTIONS:
          --version               Show the version.
          -h, --help              Show help information.

        SUBCOMMANDS:
          generate                Generate images from prompts.
          quantize                Store a model in fewer bits, and say what that does to it.
          prune                   Remove attention heads and blocks that matter least from a model's UNet.
          solvers                 List the solvers and the paper of each.
          grids                   List the grids of times and the paper of each.
          plan                    Print the compiled plan of a sampler on a model's noise path.
          tokenize                Print the token ids of a text, and what the length limit cuts off.

          See 'fewstep help <subcommand>' for detailed help.

        """)
  }

  @Test func solversAreListedWithTheirPapers() throws {
    let lines = try CommandResult("fewstep", ["solvers"]).output.split(separator: "\n").map(Array.init)
    #expect(lines.allSatisfy { $0.count <= 120 })
    let starts = try ["name", "model", "order", "what it is", "paper"].map { title in
      try #require(lines[0].indices.first { lines[0][$0...].starts(with: title) })
    }
    // A row goes on in the lines that have no name.
    var rows: [[String]] = []
    for line in lines.dropFirst() {
      let ends = starts.dropFirst() + [Int.max]
      let cells = zip(starts, ends).map { start, end in
        String(line[min(start, line.count)..<min(end, line.count)]).trimmingCharacters(in: .whitespaces)
      }
      if cells[0].isEmpty {
        let last = rows.count - 1
        rows[last] = zip(rows[last], cells).map { $1.isEmpty ? $0 : "\($0) \($1)" }
      } else {
        rows.append(cells)
      }
    }
    let expected =
      SolverCatalogue.all.map { [$0.name, $0.families.map(\.rawValue).sorted().joined(separator: ", ")] }
      + AdaptiveCatalogue.all.map { [$0.name, $0.family.rawValue] }
    let texts =
      SolverCatalogue.all.map { [$0.summary, $0.paper] } + AdaptiveCatalogue.all.map { [$0.summary, $0.paper] }
    #expect(rows.map { Array($0.prefix(2)) } == expected)
    #expect(rows.map { Array($0.suffix(2)) } == texts)
  }

  @Test func gridsAreListedWithTheirPapers() throws {
    let lines = try CommandResult("fewstep", ["grids"]).output.split(separator: "\n")
    #expect(lines.count == GridSpacing.allCases.count + 1)
    for (line, spacing) in zip(lines.dropFirst(), GridSpacing.allCases) {
      #expect(line.hasPrefix(spacing.rawValue) && line.hasSuffix(spacing.paper))
      let plan = try CommandResult("fewstep", ["plan", "--steps", "2", "--grid", spacing.rawValue])
      #expect(plan.status == 0 && plan.output.contains("2 steps"), "\(spacing)")
    }
  }

  @Test func plansStartAnywhere() throws {
    let plan = try CommandResult("fewstep", ["plan", "--solver", "ddim", "--steps", "4", "--strength", "0.5"]).output
    #expect(plan.hasPrefix("ddim, 4 steps") && plan.contains("   499.5"))
    let refused = try CommandResult("fewstep", ["plan", "--solver", "ddim", "--strength", "1.5"])
    #expect(refused.status != 0 && refused.errors.contains("the strength is 1.5"))
    let shifted = try CommandResult("fewstep", ["plan", "--solver", "flow-euler", "--steps", "2", "--shift", "-1"])
    #expect(shifted.status != 0 && shifted.errors.contains("the flow's shift must be positive"))
  }

  @Test func aPlanIsATableOrJSON() throws {
    let table = try CommandResult("fewstep", ["plan", "--solver", "heun", "--steps", "3"]).output
    #expect(table.hasPrefix("heun, 3 steps, 5 evaluations, epsilon prediction"))
    let json = try CommandResult("fewstep", ["plan", "--solver", "heun", "--steps", "3", "--json"]).output
    let plan = try JSONDecoder().decode(SamplingPlan.self, from: Data(json.utf8))
    #expect(plan.evaluationCount == 5 && plan.description + "\n" == table)
  }

  @Test func flowSolversTakeTheFlowModel() throws {
    let table = try CommandResult("fewstep", ["plan", "--solver", "flow-euler", "--steps", "4"]).output
    #expect(table.hasPrefix("flow-euler, 4 steps, 4 evaluations, flow prediction"))
  }

  @Test func tokensAndWhatIsCutOff() throws {
    let text = Array(repeating: "red", count: 40).joined(separator: " ")
    let json = try CommandResult("fewstep", ["tokenize", text, "--json"]).output
    let result = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect((result["ids"] as? [Int])?.count == 32)
    #expect((result["discardedTokens"] as? [String])?.count == 10)
    #expect(try CommandResult("fewstep", ["tokenize", text]).output.contains("cut off: 10 tokens, \"red red"))
  }
}
