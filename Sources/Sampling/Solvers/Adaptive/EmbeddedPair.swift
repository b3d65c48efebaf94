import RealModule

/// Two results of a step, of different order, from the same evaluations: the better one is kept, and their difference
/// says how long the next step may be.
public protocol EmbeddedPair: Sendable {
  /// The field's name for it, such as `dpm-adaptive-23`.
  var name: String { get }

  /// The order of the result that is kept, on the probability-flow ODE.
  var order: Int { get }

  /// The order of the other one, whose local error the difference estimates.
  var lowerOrder: Int { get }

  /// Evaluations in a step, the one at its start counting.
  var stages: Int { get }

  /// Whether the last evaluation is the next step's first ("first same as last").
  var reusesLastStage: Bool { get }

  /// What step sizes are counted in.
  var clock: StepClock { get }

  /// How much of the requested error a step's estimate may reach, 1 standing for all of it.
  ///
  /// What is requested is the error of the final image. The estimate is one of the lower order's local error, h^(q + 1)
  /// for order q, and the better result, which is kept, has a global error of the same power of h: their ratio does not
  /// depend on the tolerance once steps are short, but on the problem and the pair. This number is the pair's part of
  /// it, measured on exact problems (Gaussians in 3 to 64 dimensions and mixtures in 2 to 64).
  ///
  /// It is a calibration and not a bound. Nine images in ten end between 0.02 and 5 times the request. Above are those
  /// that start between two clusters, where trajectories part and errors grow, which no local estimate can see; below
  /// are those of few dimensions in which the errors of single steps cancel. ``RungeKuttaPair/Method/dormandPrince`` on
  /// straight paths is the exception: it takes three to ten steps, whose errors have little to do with their estimates,
  /// and up to eight images in ten end below.
  var tolerancePerStep: Double { get }

  /// Writes a step from `s` to `t`: moves the state to the better result and estimates the error of the other.
  func step(from s: TimePoint, to t: TimePoint, on path: any NoisePath, into plan: inout PlanBuilder)

  /// Refuses points between which it cannot step.
  ///
  /// - Throws: ``SamplingError/incompatible(solver:reason:)``.
  func check(from s: TimePoint, to t: TimePoint) throws(SamplingError)
}

/// A coordinate of the path that rises as the noise falls.
public enum StepClock: Hashable, Sendable {
  /// Half the log signal-to-noise ratio.
  case lambda
  /// -sigma, on straight paths.
  case sigma

  /// A step over which a model's prediction can change as a whole.
  var unit: Double {
    switch self {
    case .lambda: 1
    case .sigma: 0.2
    }
  }

  func reading(_ point: TimePoint) -> Double {
    switch self {
    case .lambda: point.lambda
    case .sigma: -point.sigma
    }
  }

  func point(at reading: Double, on path: any NoisePath) -> TimePoint {
    switch self {
    case .lambda: path.point(lambda: reading)
    // alpha is 1 - sigma.
    case .sigma: path.point(lambda: .log(1 + reading) - .log(-reading))
    }
  }
}
