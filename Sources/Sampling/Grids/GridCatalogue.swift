/// The grids that can be asked for by name.
public enum GridSpacing: String, Hashable, Sendable, Codable, CaseIterable {
  case leading
  case linspace
  case trailing
  case karras
  case uniformLambda = "uniform-lambda"

  /// - Throws: ``SamplingError/unknownGrid(_:known:)``.
  public init(named name: String) throws(SamplingError) {
    guard let spacing = GridSpacing(rawValue: name.lowercased()) else {
      throw .unknownGrid(name, known: Self.allCases.map(\.rawValue))
    }
    self = spacing
  }

  /// The times of this spacing with diffusers' meaning for a solver of these conventions.
  ///
  /// - Parameters:
  ///   - offset: what `leading` adds to every timestep.
  ///   - end: where the grid ends for solvers that leave it open.
  ///   - finalNoise: where it ends for those that do not, if not where they are used to.
  /// - Throws: ``SamplingError`` where the path has no such times.
  public func points(
    steps: Int, for conventions: GridConventions, on path: some NoisePath, offset: Int = 0, end: GridEnd = .clean,
    finalNoise: GridEnd? = nil
  ) throws(SamplingError) -> [TimePoint] {
    let end = conventions.end.map { finalNoise ?? $0 } ?? end
    let grid: any Grid
    switch self {
    case .leading: grid = LeadingGrid(steps: steps, offset: offset, division: conventions.division, end: end)
    case .linspace:
      grid = LinspaceGrid(steps: steps, division: conventions.division, rounds: conventions.roundsTimes, end: end)
    case .trailing: grid = TrailingGrid(steps: steps, end: end)
    case .karras: grid = KarrasGrid(steps: steps, end: end)
    case .uniformLambda: grid = UniformLambdaGrid(steps: steps)
    }
    return try grid.points(on: path)
  }
}
