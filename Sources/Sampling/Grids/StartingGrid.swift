import RealModule

/// Where image-to-image generation begins.
public enum GridStart: Hashable, Sendable {
  /// A share of the way from the least noise to the most, counted in the times that the model was trained on:
  /// diffusers' `strength`, but exact. 1 is the whole path.
  case strength(Double)
  /// A model time.
  case timestep(Double)
  /// sigma / alpha, or sigma on a straight path.
  case noiseLevel(Double)
  /// Half the log signal-to-noise ratio.
  case lambda(Double)

  /// The point of `path` that this means.
  ///
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` where the path has no such point.
  public func point(on path: some NoisePath) throws(SamplingError) -> TimePoint {
    func check(_ value: Double, _ name: String, _ range: ClosedRange<Double>) throws(SamplingError) {
      guard range.contains(value) else {
        throw .invalidOption(name: "the starting \(name)", found: "\(value)", expected: "\(range)")
      }
    }
    let (clearest, noisiest) = (path.point(at: path.timesteps.lowerBound), path.point(at: path.timesteps.upperBound))
    switch self {
    case .strength(let strength):
      guard strength > 0, strength <= 1 else {
        throw .invalidOption(name: "the strength", found: "\(strength)", expected: "more than 0, at most 1")
      }
      let positions = path.positions
      return strength == 1
        ? path.noisiest
        : path.point(position: positions.lowerBound + strength * (positions.upperBound - positions.lowerBound))
    case .timestep(let time):
      try check(time, "timestep", path.timesteps)
      return path.point(at: time)
    case .noiseLevel(let level):
      try check(level, "noise level", path.level(of: clearest)...path.level(of: noisiest))
      return path.point(level: level)
    case .lambda(let lambda):
      try check(lambda, "lambda", noisiest.lambda...clearest.lambda)
      return path.point(lambda: lambda)
    }
  }
}

/// Another grid on the part of the path below a starting point: as many steps as ever, however little noise there is.
///
/// The first point is the start exactly. Timesteps are not rounded: between few of them there is no room for many
/// steps.
public struct StartingGrid<Base: Grid>: Grid {
  public var base: Base
  public var start: GridStart

  public init(_ base: Base, at start: GridStart) {
    self.base = base
    self.start = start
  }

  public func points(on path: some NoisePath) throws(SamplingError) -> [TimePoint] {
    let start = try start.point(on: path)
    guard start.noiseToSignal > 0 else { throw .invalidGrid("starts without noise") }
    var points = try base.points(on: LimitedPath(base: path, start: start))
    points[0] = start
    return points
  }
}

/// The part of a path from a point on.
struct LimitedPath<Base: NoisePath>: NoisePath {
  let base: Base
  let start: TimePoint

  var trainingTimesteps: Int { base.trainingTimesteps }
  var timesteps: ClosedRange<Double> { base.timesteps.lowerBound...start.timestep }
  var positions: ClosedRange<Double> {
    let first = start == base.noisiest ? base.positions.upperBound : base.position(of: start)
    return min(base.positions.lowerBound, first)...first
  }

  var cleanPosition: Double { base.hasWholeTimesteps ? positions.lowerBound : base.cleanPosition }

  func point(at timestep: Double) -> TimePoint { limited(base.point(at: timestep)) }
  func point(lambda: Double) -> TimePoint { limited(base.point(lambda: lambda)) }
  func point(position: Double) -> TimePoint { limited(base.point(position: position)) }
  func point(level: Double) -> TimePoint { limited(base.point(level: level)) }
  func position(of point: TimePoint) -> Double { base.position(of: point) }
  func level(of point: TimePoint) -> Double { base.level(of: point) }

  private func limited(_ point: TimePoint) -> TimePoint {
    point.noiseToSignal < start.noiseToSignal ? point : start
  }
}
