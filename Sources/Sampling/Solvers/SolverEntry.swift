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
  /// The kind of model it was made for.
  public let family: Family
  /// Every kind of model it samples.
  public let families: Set<Family>
  /// The grids it is used to.
  public let conventions: GridConventions
  /// The solver for a grid of so many steps.
  public let make: @Sendable (_ steps: Int) throws(SamplingError) -> any Solver

  public enum Family: String, Hashable, Sendable, Codable {
    /// Noise paths with alpha > 0: DDPM's, Stable Diffusion's, EDM's.
    case diffusion
    /// Straight paths: flow matching and rectified flow.
    case flow
  }

  init(
    _ name: String, aliases: [String] = [], _ summary: String, paper: String, family: Family = .diffusion,
    otherFamilies: Set<Family> = [], conventions: GridConventions,
    make: @escaping @Sendable (_ steps: Int) throws(SamplingError) -> any Solver
  ) {
    self.name = name
    self.aliases = aliases
    self.summary = summary
    self.paper = paper
    self.family = family
    self.families = otherFamilies.union([family])
    self.conventions = conventions
    self.make = make
  }
}

/// What diffusers' class of a solver takes for granted about its grid, so that a name means here what it means there.
public struct GridConventions: Hashable, Sendable {
  /// The spacing of timesteps where neither the caller nor the scheduler's configuration chooses one.
  public var spacing = GridSpacing.linspace
  /// Whether the class has that spacing only, whatever the configuration says.
  public var hasFixedSpacing = false
  /// How it counts the divisions of a timestep grid.
  public var division = GridDivision.steps
  /// Whether it keeps to the integer times that it was published for.
  public var roundsTimes = false
  /// Whether it clips the predicted image where the scheduler's configuration says `clip_sample`.
  public var clipsSamples = false
  /// Where its grid ends; nil leaves that to the scheduler's `set_alpha_to_one`, as DDIM does.
  public var end: GridEnd? = .clean

  /// DDPM's and DDIM's kind: every so many of the model's own timesteps.
  static let discrete = GridConventions(spacing: .leading, roundsTimes: true, clipsSamples: true)
  /// That of solvers for models which were distilled on few of the timesteps.
  static let distilled = discrete.with { ($0.spacing, $0.hasFixedSpacing) = (.distilled, true) }
  /// The DPM-Solvers' kind: integer times, one division more than there are steps.
  static let multistep = GridConventions(division: .stepsAndEnd, roundsTimes: true)
  /// k-diffusion's kind: real times.
  static let noiseLevel = GridConventions()
  /// Flow matching's kind.
  static let flow = GridConventions(hasFixedSpacing: true)

  func with(_ change: (inout GridConventions) -> Void) -> GridConventions {
    var copy = self
    change(&copy)
    return copy
  }
}
