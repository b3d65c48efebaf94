import RealModule
import Sampling
import Testing

/// What every grid must be on every path where it makes sense.
@Suite("Properties of grids")
struct GridPropertyTests {
  static let paths: [any NoisePath] = {
    do {
      return [
        VariancePreserving.stableDiffusion, try VariancePreserving(.squaredCosine), VarianceExploding.edm,
        try RectifiedFlow(), try RectifiedFlow(shift: 3),
      ]
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  static func points(
    _ spacing: GridSpacing, steps: Int, on path: some NoisePath, options: GridOptions = .init()
  ) throws(SamplingError) -> [TimePoint] {
    try spacing.points(steps: steps, for: SolverCatalogue.entry(named: "euler").conventions, on: path, options: options)
  }

  /// N + 1 points of falling noise, from at most the most to the end asked for, each on the path.
  @Test(arguments: GridSpacing.allCases) func gridsAreMonotone(_ spacing: GridSpacing) throws {
    for path in Self.paths where spacing != .uniformLambda || !(path is RectifiedFlow) {
      for steps in [1, 2, 3, 7, 20, 50] {
        for end in [GridEnd.clean, .leastNoise] {
          let points = try Self.points(spacing, steps: steps, on: path, options: .init(finalNoise: end))
          #expect(points.count == steps + 1)
          let levels = points.map(\.noiseToSignal)
          #expect(zip(levels.dropLast(), levels.dropFirst().dropLast()).allSatisfy(>), "\(spacing), \(steps)")
          #expect(levels[steps] <= levels[steps - 1])
          let least = path.point(at: path.timesteps.lowerBound)
          // A straight path's least noise is none.
          let isClean = end == .clean && spacing != .uniformLambda || least.isClean
          #expect(isClean ? points[steps].isClean : abs(points[steps].lambda - least.lambda) < 1e-13)
          #expect(levels[0] <= path.noisiest.noiseToSignal)
          for point in points where !point.isClean {
            let same = path.point(at: point.timestep)
            #expect(abs(path.level(of: same) - path.level(of: point)) <= 1e-11 * path.level(of: point))
          }
        }
      }
    }
  }

  @Test(arguments: [
    GridSpacing.linspace, .trailing, .simple, .sgmUniform, .karras, .exponential, .beta, .betaTimes, .quadratic,
    .linearQuadratic, .klOptimal,
  ])
  func gridsBeginWithTheMostNoise(_ spacing: GridSpacing) throws {
    for path in Self.paths {
      for steps in [1, 5, 33] {
        #expect(try Self.points(spacing, steps: steps, on: path)[0] == path.noisiest, "\(spacing)")
      }
    }
  }

  /// The defining property of each spacing of noise levels.
  @Test func spacingsAreWhatTheySay() throws {
    func differences(_ spacing: GridSpacing, of transform: (TimePoint) -> Double) throws -> [Double] {
      let values = try Self.points(spacing, steps: 12, on: VariancePreserving.stableDiffusion).dropLast().map(transform)
      let differences = zip(values, values.dropFirst()).map { $1 - $0 }
      return differences.map { abs($0 / differences[0] - 1) }
    }
    #expect(try differences(.karras) { .pow($0.noiseToSignal, 1.0 / 7) }.allSatisfy { $0 < 1e-12 })
    #expect(try differences(.exponential) { $0.lambda }.allSatisfy { $0 < 1e-12 })
    #expect(try differences(.klOptimal) { .atan($0.noiseToSignal) }.allSatisfy { $0 < 1e-12 })
    #expect(try differences(.quadratic) { $0.timestep.squareRoot() }.allSatisfy { $0 < 1e-11 })
    #expect(try differences(.sgmUniform) { $0.timestep }.allSatisfy { $0 < 1e-12 })
  }

  /// However a path is described, the levels and uniform lambda stay: here the β of an EDM path's own levels.
  @Test func gridsOfLevelsDoNotDependOnTheClock() throws {
    let (first, second) = (
      try VarianceExploding(lowest: 0.002, highest: 80),
      try VarianceExploding(lowest: 0.002, highest: 80, conditioning: .noiseLevel, trainingTimesteps: 77)
    )
    for spacing in [GridSpacing.karras, .exponential, .beta, .klOptimal, .linearQuadratic, .uniformLambda] {
      let pairs = zip(
        try Self.points(spacing, steps: 9, on: first), try Self.points(spacing, steps: 9, on: second))
      for (left, right) in pairs { #expect(left.sigma == right.sigma && left.alpha == right.alpha) }
    }
  }

  /// ComfyUI's values for 6 and 10 steps and a highest level of 1, its formula written out by hand: 0.025 is gone after
  /// half of the steps.
  @Test func linearQuadratic() throws {
    let sigmas = try LinearQuadraticGrid(steps: 6).points(on: RectifiedFlow()).map(\.sigma)
    for (sigma, expected) in zip(sigmas, [0, 0.025 / 3, 0.05 / 3, 0.025, 0.13888888888888889, 0.46388888888888889, 1]) {
      #expect(abs(sigma - (1 - expected)) < 1e-15)
    }
    for threshold in [0, -1, 0.5, Double.nan] {
      #expect(throws: SamplingError.self) {
        try LinearQuadraticGrid(steps: 6, threshold: threshold).points(on: RectifiedFlow())
      }
    }
  }

  @Test func alignYourSteps() throws {
    let path = VariancePreserving.stableDiffusion
    for table in [AlignYourStepsGrid.Table.stableDiffusion15, .stableDiffusionXL] {
      let points = try AlignYourStepsGrid(steps: 10, table: table).points(on: path)
      for (point, level) in zip(points.dropLast(), table.levels) {
        #expect(abs(point.noiseToSignal / level - 1) < 1e-8)
      }
      // Twice the steps: geometric means in between.
      let twice = try AlignYourStepsGrid(steps: 20, table: table).points(on: path)
      for index in 0..<9 {
        #expect(abs(twice[2 * index].lambda - points[index].lambda) < 1e-8)
        #expect(abs(twice[2 * index + 1].lambda - (points[index].lambda + points[index + 1].lambda) / 2) < 1e-8)
      }
    }
    let video = try VarianceExploding(lowest: 0.002, highest: 700)
    let points = try AlignYourStepsGrid(steps: 10, table: .stableVideoDiffusion).points(on: video)
    #expect(points.dropLast().map(\.sigma) == AlignYourStepsGrid.Table.stableVideoDiffusion.levels.dropLast())
    #expect(try AlignYourStepsGrid(steps: 7, table: .stableVideoDiffusion).points(on: .edm)[0].sigma == 80)
  }

  @Test func stretchedGridsEndAtTheTerminal() throws {
    for steps in [2, 5, 30] {
      let base = LinspaceGrid(steps: steps)
      let (plain, stretched) = (
        try base.points(on: RectifiedFlow(shift: 2)),
        try StretchedGrid(base, terminal: 0.1).points(on: RectifiedFlow(shift: 2))
      )
      #expect(stretched[0] == plain[0] && stretched[steps].isClean && abs(stretched[steps - 1].sigma - 0.1) < 1e-15)
      let scale = 0.9 / (1 - plain[steps - 1].sigma)
      for (left, right) in zip(plain, stretched).dropLast() { #expect(abs(right.alpha - scale * left.alpha) < 1e-15) }
    }
    // Where diffusers divides by zero.
    #expect(
      try StretchedGrid(LinspaceGrid(steps: 1), terminal: 0.1).points(on: RectifiedFlow()).map(\.sigma) == [1, 0])
    for terminal in [0, 1, -1, Double.nan] {
      #expect(throws: SamplingError.self) {
        try StretchedGrid(LinspaceGrid(steps: 3), terminal: terminal).points(on: RectifiedFlow())
      }
    }
    #expect(throws: SamplingError.self) {
      try StretchedGrid(LinspaceGrid(steps: 3), terminal: 0.1).points(on: .stableDiffusion)
    }
  }

  @Test func impossibleRequests() throws {
    let path = VariancePreserving.stableDiffusion
    for exponent in [0, -1, Double.nan, .infinity] {
      #expect(throws: SamplingError.self) { try ExponentialGrid(steps: 3, rho: exponent).points(on: path) }
      #expect(throws: SamplingError.self) { try BetaGrid(steps: 3, alpha: exponent).points(on: path) }
      #expect(throws: SamplingError.self) { try BetaGrid(steps: 3, beta: exponent).points(on: path) }
    }
    for reach in [0, 1.1, Double.nan] {
      #expect(throws: SamplingError.self) { try QuadraticGrid(steps: 3, reach: reach).points(on: path) }
    }
    for range in [0.01...1, 0.1...20, -1...1, 0...1] {
      #expect(throws: SamplingError.self) { try KarrasGrid(steps: 3, options: .init(range: range)).points(on: path) }
    }
    // Options that do not belong to the grid, and times that round to one.
    for options in [GridOptions(rho: 3), .init(levels: 0.1...1), .init(terminal: 0.1), .init(start: .strength(0))] {
      #expect(throws: SamplingError.self) { try Self.points(.leading, steps: 3, on: path, options: options) }
    }
    #expect(throws: SamplingError.self) {
      try QuadraticGrid(steps: 100, times: .rounded).points(on: path)
    }
    #expect(throws: SamplingError.self) { try TrailingGrid(steps: 3, omitted: -1).points(on: path) }
    #expect(throws: SamplingError.self) { try UniformLambdaGrid(steps: 3, range: -9...1).points(on: path) }
    #expect(try UniformLambdaGrid(steps: 3, range: -1...2).points(on: RectifiedFlow()).count == 4)
  }

  @Test func roundedTimesMoveTheStep() throws {
    let path = VariancePreserving.stableDiffusion
    let exact = try KarrasGrid(steps: 8).points(on: path)
    let rounded = try KarrasGrid(steps: 8, options: .init(times: .rounded)).points(on: path)
    for (point, moved) in zip(exact, rounded).dropLast() {
      #expect(moved == path.point(at: point.timestep.rounded(.toNearestOrEven)))
    }
  }
}
