import RealModule

/// The variance-preserving path of DDPM and Stable Diffusion: alpha² + sigma² = 1.
///
/// The β define it at integer timesteps; in between lambda is interpolated linearly, so that time and lambda map
/// to each other exactly in both directions.
public struct VariancePreserving: NoisePath {
  /// lambda at timesteps 0, 1, 2 ..., strictly decreasing; the last may be minus infinity.
  private let lambdas: [Double]

  /// What is left of the signal at the last timestep.
  public enum TerminalSignal: String, Hashable, Sendable, Codable, CaseIterable {
    /// What the β leave.
    case trained
    /// Nothing: √ᾱ is moved to 0 there and stretched to its old value at the first timestep (Lin et al. 2023,
    /// arXiv:2305.08891, algorithm 1). lambda is minus infinity, and a model must not predict ε.
    case zero
    /// The same, with ᾱ = 2⁻²⁴ in the place of 0, as solvers that need a finite lambda have it in diffusers. Where the
    /// timestep before has no more than that, as with linear β, diffusers' noise falls at the end; here the last
    /// sigma / alpha is twice the one before.
    case nearlyZero
  }

  /// - Throws: ``SamplingError/invalidBetas(_:)`` where a β lies outside (0, 1) or is too small to add noise
  ///   in `Double`, or there are fewer than two.
  public init(betas: [Double], terminalSignal: TerminalSignal = .trained) throws(SamplingError) {
    guard betas.count >= 2, betas.allSatisfy({ $0 > 0 && $0 < 1 }) else {
      throw .invalidBetas("at least two, each inside (0, 1)")
    }
    // Sums of log1p(-β) and expm1 keep the digits that 1 - ᾱ loses near both ends.
    var logAlphaBar = 0.0
    let logarithms = betas.map { beta in
      logAlphaBar += Double.log(onePlus: -beta)
      return logAlphaBar
    }
    var lambdas =
      terminalSignal == .trained
      ? logarithms.map { 0.5 * ($0 - .log(-.expMinusOne($0))) } : Self.rescaledLambdas(logarithms)
    if terminalSignal == .nearlyZero {
      let signal = Double.exp2(-24)
      let given = 0.5 * (Double.log(signal) - .log(onePlus: -signal))
      let before = lambdas[lambdas.count - 2]
      lambdas[lambdas.count - 1] = given < before ? given : before - .log(2)
    }
    guard zip(lambdas, lambdas.dropFirst()).allSatisfy(>) else {
      throw .invalidBetas("large enough for each to add noise")
    }
    self.lambdas = lambdas
  }

  /// lambda after √ᾱ became s₀ (s - s_T) / (s₀ - s_T), s being the trained one.
  private static func rescaledLambdas(_ logAlphaBars: [Double]) -> [Double] {
    let (first, last) = (logAlphaBars[0] / 2, logAlphaBars[logAlphaBars.count - 1] / 2)
    let fall = -Double.expMinusOne(last - first)  // (s₀ - s_T) / s₀
    return logAlphaBars.map { logAlphaBar in
      let root = logAlphaBar / 2
      let signal = .exp(root) * -Double.expMinusOne(last - root) / fall
      // 1 - signal as a sum of positive terms.
      let missing = -Double.expMinusOne(first) + .exp(first) * -Double.expMinusOne(root - first) / fall
      return .log(signal) - 0.5 * (.log(missing) + .log(1 + signal))
    }
  }

  /// - Throws: ``SamplingError/invalidBetas(_:)``.
  public init(
    _ schedule: BetaSchedule, trainingTimesteps: Int = 1000, terminalSignal: TerminalSignal = .trained
  ) throws(SamplingError) {
    guard trainingTimesteps >= 2, trainingTimesteps <= 1_000_000 else {
      throw .invalidBetas("2 to 1000000 training timesteps, not \(trainingTimesteps)")
    }
    try self.init(betas: schedule.betas(count: trainingTimesteps), terminalSignal: terminalSignal)
  }

  public var trainingTimesteps: Int { lambdas.count }

  public var timesteps: ClosedRange<Double> { 0...Double(lambdas.count - 1) }

  public var hasWholeTimesteps: Bool { true }

  public func point(at timestep: Double) -> TimePoint {
    let time = min(max(timestep, 0), Double(lambdas.count - 1))
    let index = min(Int(time), lambdas.count - 2)
    let fraction = time - Double(index)
    let (left, right) = (lambdas[index], lambdas[index + 1])
    // Towards minus infinity alpha / sigma falls evenly.
    let lambda = right == -.infinity ? left + .log(onePlus: -fraction) : left + fraction * (right - left)
    return Self.point(timestep: time, lambda: lambda)
  }

  public func point(lambda: Double) -> TimePoint {
    let lambda = min(max(lambda, lambdas[lambdas.count - 1]), lambdas[0])
    var low = 0
    var high = lambdas.count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if lambdas[middle] >= lambda { low = middle } else { high = middle }
    }
    let fraction =
      lambdas[high] == -.infinity
      ? -Double.expMinusOne(lambda - lambdas[low]) : (lambda - lambdas[low]) / (lambdas[high] - lambdas[low])
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
