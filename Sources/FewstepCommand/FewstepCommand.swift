import ArgumentParser
import Fewstep

@main
struct FewstepCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fewstep", abstract: "Samples text-to-image diffusion models in few steps, on the CPU.",
    version: fewstepVersion,
    subcommands: [
      Generate.self, Quantize.self, Prune.self, Solvers.self, Grids.self, Plan.self, Tokenize.self,
    ])
}
