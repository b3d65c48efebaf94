import ArgumentParser
import Fewstep

@main
struct FewstepCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fewstep", abstract: "Samples text-to-image diffusion models on the CPU.",
    version: fewstepVersion)
}
