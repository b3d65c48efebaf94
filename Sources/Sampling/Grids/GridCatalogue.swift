/// The grids that can be asked for by name.
public enum GridSpacing: String, Hashable, Sendable, Codable, CaseIterable {
  case leading
  case linspace
  case trailing
  case simple
  case sgmUniform = "sgm-uniform"
  case ddimUniform = "ddim-uniform"
  case flow
  case quadratic
  case betaTimes = "beta-times"
  case beta
  case karras
  case exponential
  case linearQuadratic = "linear-quadratic"
  case klOptimal = "kl-optimal"
  case uniformLambda = "uniform-lambda"
  case distilled
  case alignYourSteps15 = "ays-sd15"
  case alignYourStepsXL = "ays-sdxl"
  case alignYourStepsVideo = "ays-svd"

  /// - Throws: ``SamplingError/unknownGrid(_:known:)``.
  public init(named name: String) throws(SamplingError) {
    let wanted = name.lowercased()
    guard let spacing = Self.allCases.first(where: { ([$0.rawValue] + $0.aliases).contains(wanted) }) else {
      throw .unknownGrid(name, known: Self.allCases.map(\.rawValue))
    }
    self = spacing
  }

  /// Other names it goes by.
  public var aliases: [String] {
    switch self {
    case .leading: ["ddim"]
    case .exponential: ["polyexponential", "lu-lambdas"]
    case .linearQuadratic: ["linear_quadratic"]
    case .klOptimal: ["kl_optimal"]
    case .sgmUniform: ["sgm_uniform"]
    case .ddimUniform: ["ddim_uniform"]
    case .uniformLambda: ["logsnr"]
    default: []
    }
  }

  /// What it is, in one line.
  public var summary: String {
    switch self {
    case .leading: "every (T/N)th timestep, counted up from the offset"
    case .linspace: "timesteps evenly spaced from the last to the first"
    case .trailing: "every (T/N)th timestep, counted down from the last"
    case .simple: "the same, counted without the end"
    case .sgmUniform: "real timesteps evenly spaced, the first left to the end"
    case .ddimUniform: "every (T/N)th timestep, counted up from 1"
    case .flow: "trailing without the noisiest time: finite lambda on a straight path"
    case .quadratic: "timesteps with evenly spaced roots"
    case .betaTimes: "timesteps at the quantiles of Beta(0.6, 0.6)"
    case .beta: "noise levels at the quantiles of Beta(0.6, 0.6)"
    case .karras: "noise levels with evenly spaced 7th roots"
    case .exponential: "noise levels with evenly spaced logarithms"
    case .linearQuadratic: "noise levels along a line and then a parabola"
    case .klOptimal: "noise levels with evenly spaced arctangents"
    case .uniformLambda: "evenly spaced in lambda, ending at the least noise"
    case .distilled: "out of the 50 timesteps that LCM and TCD models were distilled on"
    case .alignYourSteps15: "Align Your Steps, found for Stable Diffusion 1.5"
    case .alignYourStepsXL: "Align Your Steps, found for Stable Diffusion XL"
    case .alignYourStepsVideo: "Align Your Steps, found for Stable Video Diffusion"
    }
  }

  /// arXiv identifier or other origin.
  public var paper: String {
    switch self {
    case .leading, .linspace, .trailing: "arXiv:2305.08891"
    case .simple, .sgmUniform, .ddimUniform: "ComfyUI"
    case .flow: "arXiv:2403.03206"
    case .quadratic: "arXiv:2010.02502"
    case .beta, .betaTimes: "arXiv:2407.12173"
    case .karras: "arXiv:2206.00364"
    case .exponential, .uniformLambda: "arXiv:2206.00927"
    case .distilled: "arXiv:2310.04378"
    case .linearQuadratic: "arXiv:2410.13720"
    case .klOptimal, .alignYourSteps15, .alignYourStepsXL, .alignYourStepsVideo: "arXiv:2404.14507"
    }
  }

  /// The times of this spacing with diffusers' meaning for a solver of these conventions.
  ///
  /// - Throws: ``SamplingError`` where the path has no such times, or an option does not belong to the spacing.
  public func points(
    steps: Int, for conventions: GridConventions, on path: some NoisePath, options: GridOptions = .init()
  ) throws(SamplingError) -> [TimePoint] {
    func finished(_ grid: some Grid) throws(SamplingError) -> [TimePoint] {
      if let start = options.start { return try StartingGrid(grid, at: start).points(on: path) }
      return try grid.points(on: path)
    }
    let grid = try grid(steps: steps, for: conventions, options: options)
    if let terminal = options.terminal { return try finished(StretchedGrid(AnyGrid(base: grid), terminal: terminal)) }
    return try finished(AnyGrid(base: grid))
  }

  private func grid(
    steps: Int, for conventions: GridConventions, options: GridOptions
  ) throws(SamplingError) -> any Grid {
    let end = conventions.end.map { options.finalNoise ?? $0 } ?? options.end
    let levels = NoiseLevelOptions(range: options.levels, times: options.times, end: end)
    if options.rho != nil, ![.karras, .exponential].contains(self) {
      throw .invalidOption(name: "rho", found: "a value", expected: "none: \(rawValue) has no such exponent")
    }
    if options.levels != nil, !isOfNoiseLevels {
      throw .invalidOption(
        name: "the range of noise levels", found: "a range", expected: "none: \(rawValue) is not spaced in them")
    }
    switch self {
    case .leading: return LeadingGrid(steps: steps, offset: options.offset, division: conventions.division, end: end)
    case .linspace:
      return LinspaceGrid(steps: steps, division: conventions.division, rounds: conventions.roundsTimes, end: end)
    case .trailing: return TrailingGrid(steps: steps, end: end)
    case .simple: return SimpleGrid(steps: steps, end: end)
    case .sgmUniform: return LinspaceGrid(steps: steps, division: .stepsAndEnd, rounds: false, end: end)
    case .ddimUniform: return LeadingGrid(steps: steps, offset: 1, end: end)
    case .flow: return TrailingGrid(steps: steps, omitted: 1, end: end)
    case .quadratic: return QuadraticGrid(steps: steps, times: options.times, end: end)
    case .betaTimes: return BetaGrid(steps: steps, variable: .time, options: levels)
    case .beta: return BetaGrid(steps: steps, variable: .noiseLevel, options: levels)
    case .karras: return KarrasGrid(steps: steps, rho: options.rho ?? 7, options: levels)
    case .exponential: return ExponentialGrid(steps: steps, rho: options.rho ?? 1, options: levels)
    case .linearQuadratic: return LinearQuadraticGrid(steps: steps, options: levels)
    case .klOptimal: return KLOptimalGrid(steps: steps, options: levels)
    case .uniformLambda: return UniformLambdaGrid(steps: steps)
    case .distilled: return DistilledGrid(steps: steps, originalSteps: options.originalSteps, end: end)
    case .alignYourSteps15: return AlignYourStepsGrid(steps: steps, table: .stableDiffusion15, options: levels)
    case .alignYourStepsXL: return AlignYourStepsGrid(steps: steps, table: .stableDiffusionXL, options: levels)
    case .alignYourStepsVideo: return AlignYourStepsGrid(steps: steps, table: .stableVideoDiffusion, options: levels)
    }
  }

  private var isOfNoiseLevels: Bool {
    switch self {
    case .beta, .karras, .exponential, .linearQuadratic, .klOptimal, .alignYourSteps15, .alignYourStepsXL,
      .alignYourStepsVideo:
      true
    default: false
    }
  }
}

/// What can be chosen about a grid that is asked for by name.
public struct GridOptions: Hashable, Sendable {
  /// What `leading` adds to every timestep.
  public var offset: Int
  /// Where the grid ends for solvers that leave it open.
  public var end: GridEnd
  /// Where it ends for those that do not, if not where they are used to.
  public var finalNoise: GridEnd?
  /// The exponent of `karras` and `exponential`; nil is 7 and 1.
  public var rho: Double?
  /// From the lowest to the highest, for the grids of noise levels; nil takes the path's own.
  public var levels: ClosedRange<Double>?
  /// Which times the model is told, on grids that do not say so themselves.
  public var times: ToldTimes
  /// How many timesteps a model was distilled on, for `distilled`.
  public var originalSteps: Int
  /// The last sigma before the clean end, to which a grid on a straight path is stretched.
  public var terminal: Double?
  /// Where image-to-image generation begins; nil is the path's noisiest point.
  public var start: GridStart?

  public init(
    offset: Int = 0, end: GridEnd = .clean, finalNoise: GridEnd? = nil, rho: Double? = nil,
    levels: ClosedRange<Double>? = nil, times: ToldTimes = .exact, originalSteps: Int = 50, terminal: Double? = nil,
    start: GridStart? = nil
  ) {
    self.offset = offset
    self.end = end
    self.finalNoise = finalNoise
    self.rho = rho
    self.levels = levels
    self.times = times
    self.originalSteps = originalSteps
    self.terminal = terminal
    self.start = start
  }
}

/// A grid of any kind.
private struct AnyGrid: Grid {
  let base: any Grid

  func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] { try base.points(on: path) }
}
