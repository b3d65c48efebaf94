import RealModule

/// What a model is told of the time where that is not the path's timestep.
public enum TimeConditioning: Hashable, Sendable {
  /// ln(sigma / alpha) / 4: EDM's c_noise (Karras et al. 2022, arXiv:2206.00364, table 1).
  case quarterLog
  /// The times that are left on a straight path, T alpha with T the number of training timesteps: counted from the
  /// noise.
  case fromNoise(trainingTimesteps: Int)

  public func time(at point: TimePoint) -> Double {
    switch self {
    case .quarterLog: 0.25 * .log(point.noiseToSignal)
    case .fromNoise(let count): Double(count) * point.alpha
    }
  }
}

extension SamplingPlan {
  /// The same plan for a model that is told the time in another way. Its grid and coefficients stay.
  public func telling(_ conditioning: TimeConditioning) -> SamplingPlan {
    var plan = self
    plan.operations = operations.map { operation in
      guard case .evaluate(var evaluation) = operation else { return operation }
      evaluation.point.timestep = conditioning.time(at: evaluation.point)
      return .evaluate(evaluation)
    }
    return plan
  }
}
