import Fewstep

/// Work and precision on a mixture of Gaussians in 16 dimensions, whose denoiser is exact: what is measured is the
/// solver's own error.
struct MixtureStudy {
  static let dimension = 16
  static let imageCount = 48
  static let name = "exact mixture"

  /// Six clusters, placed by the noise field: some apart, some overlapping.
  static let data = GaussianMixtureData(
    (0..<6).map { index in
      let mean = DoubleTensor(noise: NoiseField(seed: 20, image: UInt32(index)), shape: [dimension])
      return .init(weight: 1 + Double(index % 3), mean: mean.values, variance: 0.02 + 0.04 * Double(index))
    })

  let start = (0..<imageCount).map {
    DoubleTensor(noise: NoiseField(seed: 21, image: UInt32($0)), shape: [dimension])
  }

  static func prediction(_ family: SolverEntry.Family) -> Prediction { family == .flow ? .flow : .epsilon }

  /// The converged images of a family's path, from its noisiest point to sigma 0.
  func converged(_ family: SolverEntry.Family) async throws -> [DoubleTensor] {
    let plan: SamplingPlan
    if family == .flow {
      plan = try SamplingPlan(
        SolverCatalogue.entry(named: "flow-heun").make(1000), on: RectifiedFlow(), grid: TrailingGrid(steps: 1000),
        prediction: .flow)
    } else {
      plan = try SamplingPlan(
        DPMSolverMultistep(.sample, order: 3, thirdOrder: .consistent), on: .stableDiffusion,
        grid: KarrasGrid(steps: 1000), prediction: .epsilon)
    }
    return try await plan.solve(Self.data, from: start).map(\.state)
  }

  /// A solver on a grid; nil where the two do not fit.
  func measure(
    _ entry: SolverEntry, on spacing: GridSpacing, against converged: [DoubleTensor]
  ) async throws -> WorkPrecision? {
    try await WorkPrecision.measured(Self.name, entry, on: spacing, against: converged) { steps in
      let path: any NoisePath = entry.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
      let points = try spacing.points(steps: steps, for: entry.conventions, on: path)
      return try SamplingPlan(entry.make(steps), at: points, prediction: Self.prediction(entry.family))
    } images: { plan in
      try await plan.solve(Self.data, from: start).map(\.state)
    }
  }

  /// What stands for the grid of solvers that choose their own.
  static let adaptive = "adaptive"
  static let tolerances = [0.3, 0.1, 0.03, 0.01, 0.003, 0.001]

  /// An adaptive solver at several tolerances: its evaluations are the mean over the images.
  func measure(_ entry: AdaptiveEntry, against converged: [DoubleTensor]) async throws -> WorkPrecision {
    let path: any NoisePath = entry.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
    var points: [WorkPrecision.Point] = []
    for tolerance in Self.tolerances {
      let sampler = try AdaptiveSampler(
        entry.pair, on: path, tolerance: ErrorTolerance(relative: tolerance),
        prediction: Self.prediction(entry.family))
      let results: [SamplingResult<DoubleTensor>] = try await sampler.sample(
        fields: start.indices.map { NoiseField(seed: 0, image: UInt32($0)) }, shape: [Self.dimension],
        start: .unitVariance(start)
      ) { requests in
        requests.map { Self.data.prediction(sampler.prediction, of: $0.state, at: $0.time) }
      }
      let evaluations = results.reduce(0) { $0 + $1.evaluations } / results.count
      points.append(
        .init(
          steps: evaluations, evaluations: evaluations,
          error: rootMeanSquare(of: results.map(\.state), minus: converged)))
    }
    return WorkPrecision(
      problem: Self.name, solver: entry.name, grid: Self.adaptive, family: entry.family, points: points)
  }
}
