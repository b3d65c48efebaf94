import ArgumentParser

@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures what every sampler costs and what it gives.",
    discussion: "Every figure is measured in this run. A debug build rebuilds itself in release first.",
    subcommands: [
      Samplers.self, Accuracy.self, Presets.self, Toolkit.self, Precisions.self, Pruning.self, Caching.self, Step.self,
      Kernels.self, Model.self, Forward.self,
    ],
    defaultSubcommand: Samplers.self)
}

/// Runs `body` in a release build, and in a debug build makes one.
func inRelease(_ body: () async throws -> Void) async throws {
  #if DEBUG
    try Relaunch.inRelease(arguments: Array(CommandLine.arguments.dropFirst()))
  #else
    try await body()
  #endif
}
