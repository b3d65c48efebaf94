import RealModule
import Sampling
import Tensors
import Testing

/// Image-to-image: the strength is a noise level, and the steps stay as many as were asked for.
@Suite("Grids that start anywhere")
struct StartingGridTests {
  static let strengths = [1e-6, 0.02, 0.33, 0.5, 1]

  @Test(arguments: GridSpacing.allCases, strengths) func strengthIsExact(_ spacing: GridSpacing, _ strength: Double)
    throws
  {
    for path in GridPropertyTests.paths {
      // On a straight path the whole has no finite lambda.
      if spacing == .uniformLambda, path is RectifiedFlow { continue }
      let positions = path.positions
      let start =
        strength == 1
        ? path.noisiest
        : path.point(position: positions.lowerBound + strength * (positions.upperBound - positions.lowerBound))
      // As many as a distilled model has timesteps there.
      let most = spacing == .distilled ? max(Int(50 * strength), 1) : 50
      for steps in [1, 10, 50] where steps <= most {
        let points = try GridPropertyTests.points(
          spacing, steps: steps, on: path, options: .init(start: .strength(strength)))
        #expect(points.count == steps + 1 && points[0] == start, "\(spacing)")
        #expect(zip(points, points.dropFirst()).allSatisfy { $0.noiseToSignal >= $1.noiseToSignal })
        let levels = points.dropLast().map(\.noiseToSignal)
        #expect(strength < 0.01 || zip(levels, levels.dropFirst()).allSatisfy(>), "\(spacing), \(steps)")
      }
    }
  }

  /// The other ways of saying where; a whole grid is what it is without a start.
  @Test func startsAreOfManyKinds() throws {
    let path = VariancePreserving.stableDiffusion
    let point = path.point(at: 330.5)
    for start in [GridStart.timestep(330.5), .noiseLevel(point.noiseToSignal), .lambda(point.lambda)] {
      let points = try StartingGrid(KarrasGrid(steps: 10), at: start).points(on: path)
      #expect(points.count == 11 && abs(points[0].lambda - point.lambda) < 1e-14)
      #expect(abs(points[0].timestep - 330.5) < 1e-11)
      // Karras' own spacing on what is left.
      let roots = points.dropLast().map { Double.pow($0.noiseToSignal, 1.0 / 7) }
      for (left, right) in zip(roots, roots.dropFirst()) {
        #expect(abs((right - left) / (roots[1] - roots[0]) - 1) < 1e-11)
      }
    }
    for spacing in [GridSpacing.karras, .exponential, .klOptimal, .quadratic, .sgmUniform] {
      #expect(
        try GridPropertyTests.points(spacing, steps: 9, on: path, options: .init(start: .strength(1)))
          == GridPropertyTests.points(spacing, steps: 9, on: path))
    }
    #expect(try StartingGrid(TrailingGrid(steps: 2), at: .noiseLevel(0.6)).points(on: RectifiedFlow())[0].sigma == 0.6)
  }

  @Test func impossibleStarts() throws {
    let path = VariancePreserving.stableDiffusion
    let starts: [GridStart] = [
      .strength(0), .strength(-0.1), .strength(1.01), .strength(.nan), .timestep(-1), .timestep(1000), .timestep(.nan),
      .noiseLevel(0), .noiseLevel(15), .noiseLevel(.nan), .lambda(-9), .lambda(.infinity), .lambda(.nan),
    ]
    for start in starts {
      #expect(throws: SamplingError.self, "\(start)") {
        try StartingGrid(KarrasGrid(steps: 5), at: start).points(on: path)
      }
    }
    #expect(throws: SamplingError.self) {
      try StartingGrid(KarrasGrid(steps: 5), at: .timestep(0)).points(on: RectifiedFlow())
    }
  }

  /// The image is noised to that level: alpha x₀ + sigma z.
  @Test func imagesAreNoisedToTheStart() async throws {
    let path = VariancePreserving.stableDiffusion
    let image = DoubleTensor([0.5, -1, 0.25])
    let field = NoiseField(seed: 3)
    for strength in [0.02, 0.33, 1] {
      let plan = try SamplingPlan(
        DDIM(), on: path, grid: StartingGrid(LeadingGrid(steps: 10), at: .strength(strength)), prediction: .sample)
      #expect(plan.stepCount == 10)
      var first: DoubleTensor?
      _ = try await plan.run(fields: [field], shape: [3], start: .images([image])) { requests in
        first = first ?? requests[0].state
        return requests.map { _ in image }
      }
      let noise: DoubleTensor = .combining((1 / plan.initialScale, try await start(of: plan, field)))
      let expected = DoubleTensor.combining((plan.grid[0].alpha, image), (plan.grid[0].sigma, noise))
      #expect(try #require(first).relativeError(to: expected) < 1e-15)
    }
  }

  private func start(of plan: SamplingPlan, _ field: NoiseField) async throws -> DoubleTensor {
    var first: DoubleTensor?
    _ = try await plan.run(fields: [field], shape: [3]) { (requests: [DenoiserRequest<DoubleTensor>]) in
      first = first ?? requests[0].state
      return requests.map(\.state)
    }
    return try #require(first)
  }
}

@Suite("Grids that the caller gives")
struct ExplicitGridTests {
  static let path = VariancePreserving.stableDiffusion

  @Test func valuesAreTaken() throws {
    let times = try ExplicitGrid(.timesteps([999, 500.5, 3]), end: .clean).points(on: Self.path)
    #expect(times == [999, 500.5, 3].map { Self.path.point(at: $0) } + [Self.path.clean])
    let levels = try ExplicitGrid(.noiseLevels([14, 2, 0.5, 0])).points(on: Self.path)
    #expect(zip(levels, [14, 2, 0.5, 0]).allSatisfy { abs($0.noiseToSignal - $1) <= 1e-14 * $1 })
    let lambdas = try ExplicitGrid(.lambdas([-2, 0, 3, .infinity])).points(on: Self.path)
    #expect(lambdas.dropLast() == [-2, 0, 3].map { Self.path.point(lambda: $0) }[...] && lambdas[3].isClean)
    let flow = try ExplicitGrid(.noiseLevels([1, 0.7, 0.2, 0])).points(on: RectifiedFlow(shift: 3))
    #expect(flow.map(\.sigma) == [1, 0.7, 0.2, 0])
    let rounded = try ExplicitGrid(.timesteps([700.4, 20.6, 3]), times: .rounded).points(on: Self.path)
    #expect(rounded.map(\.timestep) == [700, 21, 3])
  }

  /// Every solver that the grid's end allows.
  @Test func everySolverTakesThem() throws {
    for entry in SolverCatalogue.all {
      let isFlow = entry.family == .flow
      let solver = try entry.make(3)
      guard !solver.isInversion else { continue }
      let values = isFlow ? [1, 0.6, 0.3] : [12, 2.0, 0.3]
      let grid = ExplicitGrid(.noiseLevels(values + (entry.conventions.end == .leastNoise ? [0.1] : [0])))
      let plan =
        isFlow
        ? try SamplingPlan(solver, on: RectifiedFlow(), grid: grid, prediction: .flow)
        : try SamplingPlan(solver, on: Self.path, grid: grid)
      #expect(plan.stepCount == 3, "\(entry.name)")
    }
  }

  @Test func impossibleValues() {
    let impossible: [ExplicitGrid.Values] = [
      .timesteps([]), .timesteps([5]), .timesteps([5, 5]), .timesteps([5, 6]), .timesteps([1001, 5]),
      .timesteps([5, -1]), .timesteps([.nan, 3]), .timesteps([5, .nan]), .noiseLevels([20, 1]),
      .noiseLevels([1, 0.001]), .noiseLevels([0, 1]), .noiseLevels([1, 0, 0]), .noiseLevels([.infinity, 1]),
      .lambdas([1, 0]), .lambdas([0, 99]), .lambdas([.infinity, .infinity]), .lambdas([0, .nan]),
    ]
    for values in impossible {
      #expect(throws: SamplingError.self, "\(values)") { try ExplicitGrid(values).points(on: Self.path) }
    }
    #expect(throws: SamplingError.self) {
      try ExplicitGrid(.timesteps([5.4, 5.2, 1]), times: .rounded).points(on: Self.path)
    }
  }
}

@Suite("More noise paths")
struct MorePathTests {
  @Test func explodingPathsGoThereAndBack() throws {
    for conditioning in VarianceExploding.Conditioning.allCases {
      let path = try VarianceExploding(lowest: 0.002, highest: 80, conditioning: conditioning)
      #expect(path.noisiest.sigma == 80 && path.point(position: 0).sigma == 0.002 && path.noisiest.alpha == 1)
      for level in [0.002, 0.03, 0.5, 1, 7.7, 80] {
        let point = path.point(level: level)
        #expect(point.sigma == level)
        #expect(point.timestep == (conditioning == .quarterLog ? 0.25 * .log(level) : level))
        for back in [
          path.point(at: point.timestep), path.point(lambda: point.lambda),
          path.point(position: path.position(of: point)),
        ] { #expect(abs(back.sigma / level - 1) < 1e-14) }
      }
      #expect(path.point(level: 100).sigma == 80 && path.point(level: 0).sigma == 0.002 && path.clean.isClean)
    }
    for (lowest, highest) in [(0, 1), (1, 1), (2, 1), (-1, 1), (0.1, .infinity), (.nan, 1), (0.1, .nan)] {
      #expect(throws: SamplingError.self) { try VarianceExploding(lowest: lowest, highest: highest) }
    }
    #expect(throws: SamplingError.self) { try VarianceExploding(lowest: 1, highest: 2, trainingTimesteps: 1) }
  }

  /// Positions are the path's own, whatever it shifts.
  @Test func positionsGoThereAndBack() throws {
    for path in GridPropertyTests.paths {
      for position in [0, 1.5, 400, 998, 999] {
        #expect(abs(path.position(of: path.point(position: position)) - position) < 1e-9)
      }
    }
  }

  @Test func dynamicShift() throws {
    let shift = try DynamicShift()
    #expect(shift.mu(tokens: 256) == 0.5 && abs(shift.mu(tokens: 4096) - 1.15) < 1e-15)
    #expect(abs(shift.mu(tokens: 1024) - 0.63) < 1e-15)
    #expect(try abs(shift.shift(tokens: 1024) - .exp(0.63)) < 1e-14)
    #expect(try abs(DynamicShift(.linear).shift(tokens: 1024) - 0.63) < 1e-15)
    #expect(throws: SamplingError.self) { try shift.shift(tokens: 0) }
    #expect(throws: SamplingError.self) { try DynamicShift(baseTokens: 10, maximumTokens: 10) }
    #expect(throws: SamplingError.self) { try DynamicShift(base: .nan) }
  }

  /// Karras' table 1: D = c_skip x + c_out F, and the network's input of unit variance.
  @Test(arguments: [0.002, 0.3, 1, 80]) func edmIsKarras(_ sigma: Double) {
    let point = VarianceExploding.edm.point(level: sigma)
    let (state, output) = Prediction.edm.coefficients(to: .sample, at: point)
    #expect(abs(state - 0.25 / (sigma * sigma + 0.25)) < 1e-15)
    #expect(abs(output - sigma * 0.5 / (sigma * sigma + 0.25).squareRoot()) < 1e-15)
    #expect(abs(Prediction.edm.inputScale(at: point) * (sigma * sigma + 0.25).squareRoot() - 1) < 1e-15)
    // diffusers' v on such a path: sigma_data 1 and the other sign.
    #expect(abs(Prediction.velocity.inputScale(at: point) * (sigma * sigma + 1).squareRoot() - 1) < 1e-15)
    #expect(Prediction.velocity.inputScale(at: VariancePreserving.stableDiffusion.point(at: 500)) == 1)
    let velocity = Prediction.velocity.coefficients(to: .sample, at: point)
    #expect(abs(velocity.state - 1 / (sigma * sigma + 1)) < 1e-15)
    #expect(abs(velocity.output + sigma / (sigma * sigma + 1).squareRoot()) < 1e-15)
  }
}
