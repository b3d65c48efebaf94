/// A solver that can be asked for by name, with what a scheduler's configuration leaves to it.
public struct SolverEntry: Sendable {
  /// The field's name, such as `dpm++2m`.
  public let name: String
  /// Other names it goes by, diffusers' class among them.
  public let aliases: [String]
  /// What it is, in one line.
  public let summary: String
  /// arXiv identifier or citation.
  public let paper: String
  /// The kind of model it samples.
  public let family: Family
  /// The spacing of timesteps where neither the caller nor the scheduler's configuration chooses one.
  public let spacing: GridSpacing
  /// Whether diffusers' class has that spacing only, whatever the configuration says.
  public let hasFixedSpacing: Bool
  /// How diffusers counts the divisions of a timestep grid for it.
  public let division: GridDivision
  /// Whether it keeps to the integer times that it was published for.
  public let roundsTimes: Bool
  /// Whether diffusers clips the predicted image where the scheduler's configuration says `clip_sample`.
  public let clipsSamples: Bool
  /// Where its grid ends; nil leaves that to the scheduler's `set_alpha_to_one`, as DDIM does.
  public let end: GridEnd?
  /// The solver for a grid of so many steps.
  public let make: @Sendable (_ steps: Int) throws(SamplingError) -> any Solver

  public enum Family: String, Hashable, Sendable, Codable {
    /// Noise paths with alpha > 0: DDPM's, Stable Diffusion's, EDM's.
    case diffusion
    /// Straight paths: flow matching and rectified flow.
    case flow
  }
}

/// Every solver there is, by name.
public enum SolverCatalogue {
  /// The entry called `name`, letters of either case.
  ///
  /// - Throws: ``SamplingError/unknownSolver(_:known:)``.
  public static func entry(named name: String) throws(SamplingError) -> SolverEntry {
    let wanted = name.lowercased()
    guard let entry = all.first(where: { ([$0.name] + $0.aliases).contains { $0.lowercased() == wanted } }) else {
      throw .unknownSolver(name, known: all.map(\.name))
    }
    return entry
  }

  public static let all: [SolverEntry] = [
    SolverEntry(
      name: "ddpm", aliases: ["DDPMScheduler"], summary: "ancestral sampling, stochastic, 1000 steps or fewer",
      paper: "arXiv:2006.11239", family: .diffusion, spacing: .leading, hasFixedSpacing: false, division: .steps,
      roundsTimes: true, clipsSamples: true, end: .clean
    ) { _ in DDPM() },
    SolverEntry(
      name: "ddim", aliases: ["DDIMScheduler"], summary: "deterministic, first order, 20 to 50 steps",
      paper: "arXiv:2010.02502", family: .diffusion, spacing: .leading, hasFixedSpacing: false, division: .steps,
      roundsTimes: true, clipsSamples: true, end: nil
    ) { _ in DDIM() },
    singlestep(.epsilon, order: 1, name: "dpm-solver-1", paper: "arXiv:2206.00927"),
    singlestep(.epsilon, order: 2, name: "dpm-solver-2s", paper: "arXiv:2206.00927"),
    singlestep(.epsilon, order: 3, name: "dpm-solver-3s", paper: "arXiv:2206.00927"),
    multistep(.epsilon, order: 2, paper: "arXiv:2206.00927"),
    multistep(.epsilon, order: 3, paper: "arXiv:2206.00927"),
    multistep(.sample, order: 2, paper: "arXiv:2211.01095", aliases: ["DPMSolverMultistepScheduler"]),
    multistep(.sample, order: 3, paper: "arXiv:2211.01095"),
    multistep(.sample, order: 3, paper: "arXiv:2211.01095", thirdOrder: .consistent),
    singlestep(
      .sample, order: 2, name: "dpm++2s", paper: "arXiv:2211.01095", aliases: ["DPMSolverSinglestepScheduler"]),
    singlestep(.sample, order: 3, name: "dpm++3s", paper: "arXiv:2211.01095"),
    SolverEntry(
      name: "euler", aliases: ["EulerDiscreteScheduler"], summary: "Euler's method in sigma / alpha, first order",
      paper: "arXiv:2206.00364", family: .diffusion, spacing: .linspace, hasFixedSpacing: false, division: .steps,
      roundsTimes: false, clipsSamples: false, end: .clean
    ) { _ in Euler() },
    SolverEntry(
      name: "heun", aliases: ["HeunDiscreteScheduler"],
      summary: "Heun's method in sigma / alpha, second order, two evaluations a step",
      paper: "arXiv:2206.00364", family: .diffusion, spacing: .linspace, hasFixedSpacing: false, division: .steps,
      roundsTimes: false, clipsSamples: true, end: .clean
    ) { _ in Heun() },
    flow(FlowEuler(), "Euler's method, first order, 4 to 20 steps", aliases: ["FlowMatchEulerDiscreteScheduler"]),
    flow(FlowMidpoint(), "midpoint method, second order, two evaluations a step", aliases: []),
    flow(
      FlowHeun(), "Heun's method, second order, two evaluations a step", aliases: ["FlowMatchHeunDiscreteScheduler"]),
  ]

  private static func multistep(
    _ prediction: Prediction, order: Int, paper: String, aliases: [String] = [],
    thirdOrder: DPMSolverMultistep.ThirdOrder = .published
  ) -> SolverEntry {
    let stem = prediction == .sample ? "dpm++\(order)m" : "dpm-solver-\(order)m"
    let published = order == 3 && thirdOrder == .published
    return SolverEntry(
      name: stem + (thirdOrder == .consistent ? "-consistent" : ""), aliases: aliases,
      summary: "multistep, order \(order)"
        + (published ? " by name and 2 by measurement" : "") + ", 10 to 20 steps",
      paper: paper, family: .diffusion, spacing: .linspace, hasFixedSpacing: false, division: .stepsAndEnd,
      roundsTimes: true, clipsSamples: false, end: prediction == .sample ? .clean : .leastNoise
    ) { steps throws(SamplingError) in
      // diffusers lowers the final orders of short runs only.
      try DPMSolverMultistep(prediction, order: order, thirdOrder: thirdOrder, lowersFinalOrder: steps < 15)
    }
  }

  private static func singlestep(
    _ prediction: Prediction, order: Int, name: String, paper: String, aliases: [String] = []
  ) -> SolverEntry {
    SolverEntry(
      name: name, aliases: aliases, summary: "singlestep, order \(order), N evaluations for N steps",
      paper: paper, family: .diffusion, spacing: .linspace, hasFixedSpacing: true, division: .stepsAndEnd,
      roundsTimes: true, clipsSamples: false, end: prediction == .sample ? .clean : .leastNoise
    ) { _ throws(SamplingError) in
      try DPMSolverSinglestep(prediction, order: order)
    }
  }

  private static func flow(_ solver: some Solver, _ summary: String, aliases: [String]) -> SolverEntry {
    SolverEntry(
      name: solver.name, aliases: aliases, summary: summary, paper: "arXiv:2209.03003, arXiv:2210.02747",
      family: .flow, spacing: .linspace, hasFixedSpacing: true, division: .steps, roundsTimes: false,
      clipsSamples: false, end: .clean
    ) { _ in solver }
  }
}
