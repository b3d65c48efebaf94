import ArgumentParser
import Fewstep

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the compiled plan of a sampler on a model's noise path.",
    discussion: """
      A plan is all that a sampler does: evaluations of the model, and linear combinations with every coefficient \
      computed. r0, r1 ... are tensors, z0 is the starting noise, z1, z2 ... fresh noise.
      """)

  @OptionGroup var sampler: SamplerOptions
  @OptionGroup var model: ModelOption

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Begin below the most noise, at this share of the trained times: more than 0, at most 1.", valueName: "number"))
  var strength: Double?

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if let solver = sampler.solver, let entry = try? AdaptiveCatalogue.entry(named: solver) {
      throw ValidationError("\(entry.name) chooses its steps as it goes and has no plan beforehand")
    }
  }

  func run() throws {
    let solver = try sampler.entry()
    let scheduler = try SchedulerConfiguration(model.folder(for: solver?.family))
    let plan = try scheduler.plan(
      solver ?? scheduler.defaultSolver, steps: sampler.steps ?? 20, spacing: sampler.spacing(),
      start: strength.map { .strength($0) }, shift: sampler.shift)
    if json {
      try printJSON(plan)
    } else {
      print(plan)
    }
  }
}
