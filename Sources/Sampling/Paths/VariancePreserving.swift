import RealModule

/// The variance-preserving path of DDPM and Stable Diffusion: alpha² + sigma² = 1.
///
/// The β define it at integer timesteps; in between lambda is interpolated linearly, so that time and lambda map
/// to each other exactly in both directions.
public struct VariancePreserving: NoisePath {
  /// lambda at timesteps 0, 1, 2 ..., strictly decreasing.
  private let lambdas: [Double]

  /// - Throws: ``SamplingError/invalidBetas(_:)`` where a β lies outside (0, 1) or is too small to add noise
  ///   in `Double`, or there are fewer than two.
  public init(betas: [Double]) throws(SamplingError) {
    guard betas.count >= 2, betas.allSatisfy({ $0 > 0 && $0 < 1 }) else {
      throw .invalidBetas("at least two, each inside (0, 1)")
    }
    // Sums of log1p(-β) and expm1 keep the digits that 1 - ᾱ loses near both ends.
    var logAlphaBar = 0.0
    lambdas = betas.map { beta in
      logAlphaBar += Double.log(onePlus: -beta)
      return 0.5 * (logAlphaBar - .log(-.expMinusOne(logAlphaBar)))
    }
    guard zip(lambdas, lambdas.dropFirst()).allSatisfy(>) else {
      throw .invalidBetas("large enough for each to add noise")
    }
  }

  /// - Throws: ``SamplingError/invalidBetas(_:)``.
  public init(_ schedule: BetaSchedule, trainingTimesteps: Int = 1000) throws(SamplingError) {
    guard trainingTimesteps >= 2, trainingTimesteps <= 1_000_000 else {
      throw .invalidBetas("2 to 1000000 training timesteps, not \(trainingTimesteps)")
    }
    try self.init(betas: schedule.betas(count: trainingTimesteps))
  }

  public var trainingTimesteps: Int { lambdas.count }

  public var timesteps: ClosedRange<Double> { 0...Double(lambdas.count - 1) }

  public func point(at timestep: Double) -> TimePoint {
    let time = min(max(timestep, 0), Double(lambdas.count - 1))
    let index = min(Int(time), lambdas.count - 2)
    let fraction = time - Double(index)
    return Self.point(timestep: time, lambda: lambdas[index] + fraction * (lambdas[index + 1] - lambdas[index]))
  }

  public func point(lambda: Double) -> TimePoint {
    let lambda = min(max(lambda, lambdas[lambdas.count - 1]), lambdas[0])
    var low = 0
    var high = lambdas.count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if lambdas[middle] >= lambda { low = middle } else { high = middle }
    }
    let fraction = (lambda - lambdas[low]) / (lambdas[high] - lambdas[low])
    return Self.point(timestep: Double(low) + fraction, lambda: lambda)
  }

  /// alpha² = logistic(2 lambda) and sigma² = logistic(-2 lambda).
  private static func point(timestep: Double, lambda: Double) -> TimePoint {
    TimePoint(
      timestep: timestep, alpha: (1 / (1 + .exp(-2 * lambda))).squareRoot(),
      sigma: (1 / (1 + .exp(2 * lambda))).squareRoot())
  }
}

extension VariancePreserving {
  /// Stable Diffusion's path: scaled linear β from 0.00085 to 0.012 over 1000 timesteps.
  public static let stableDiffusion: VariancePreserving = {
    guard let path = try? VariancePreserving(.scaledLinear(start: 0.00085, end: 0.012)) else {
      preconditionFailure("the betas of Stable Diffusion lie inside (0, 1)")
    }
    return path
  }()
}

extension NoisePath where Self == VariancePreserving {
  /// See ``VariancePreserving/stableDiffusion``.
  public static var stableDiffusion: VariancePreserving { VariancePreserving.stableDiffusion }
}
