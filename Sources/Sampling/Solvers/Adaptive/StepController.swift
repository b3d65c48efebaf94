import RealModule

/// How the length of the next step follows from the errors of the last.
///
/// With E a step's error over what it may be and k the order of E in the step h, the next step is h times
///
///     safety E₀^(-(P + I + D)/k) E₁^((P + 2D)/k) E₂^(-D/k)
///
/// E₁ and E₂ being those of the two steps before (Söderlind 2003, "Digital filters in adaptive time-stepping",
/// ACM TOMS 29). After a rejected step only the plain rule counts, safety E₀^(-1/k), and the step does not grow.
public struct StepController: Hashable, Sendable, Codable {
  public let proportional: Double
  public let integral: Double
  public let derivative: Double
  /// Below 1: aims at somewhat less than the error allowed.
  public let safety: Double
  /// The least and the greatest factor from one step to the next.
  public let growth: ClosedRange<Double>

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for gains that are not finite or whose sum is not
  ///   positive, a safety outside (0, 1], or limits of growth that do not include more and less than 1.
  public init(
    proportional: Double, integral: Double, derivative: Double = 0, safety: Double = 0.9,
    growth: ClosedRange<Double> = 0.2...5
  ) throws(SamplingError) {
    guard proportional.isFinite, integral.isFinite, derivative.isFinite, proportional + integral + derivative > 0 else {
      throw .invalidOption(
        name: "the gains of the step controller", found: "\(proportional), \(integral), \(derivative)",
        expected: "finite numbers with a positive sum")
    }
    guard safety > 0, safety <= 1 else {
      throw .invalidOption(name: "the safety of the step controller", found: "\(safety)", expected: "above 0, up to 1")
    }
    guard growth.lowerBound > 0, growth.lowerBound < 1, growth.upperBound > 1, growth.upperBound.isFinite else {
      throw .invalidOption(
        name: "the growth of the step controller", found: "\(growth)", expected: "limits on both sides of 1")
    }
    self.init(unchecked: (proportional, integral, derivative), safety: safety, growth: growth)
  }

  private init(unchecked gains: (Double, Double, Double), safety: Double = 0.9, growth: ClosedRange<Double> = 0.2...5) {
    (proportional, integral, derivative) = gains
    self.safety = safety
    self.growth = growth
  }

  /// The elementary controller: each step from the last one's error alone.
  public static let integral = StepController(unchecked: (0, 1, 0))
  /// Gains 0.4 and 0.3 (Gustafsson 1991): smoother step sizes, fewer rejections.
  public static let proportionalIntegral = StepController(unchecked: (0.4, 0.3, 0))
  /// Söderlind's filter H211 in PID form: gains 1/6, 1/6 and 0 act on two errors alike.
  public static let filter = StepController(unchecked: (-1 / 6.0, 1 / 3.0, 0))

  /// What a controller remembers of one image.
  struct Memory {
    fileprivate var earlier = 1.0
    fileprivate var earliest = 1.0
    fileprivate var hasJustRejected = false
  }

  /// The factor for the next step after one that is kept.
  func accept(_ error: Double, order: Int, memory: inout Memory) -> Double {
    let newest = floored(error)
    let k = Double(order)
    var factor =
      safety * Double.pow(newest, -(proportional + integral + derivative) / k)
      * .pow(memory.earlier, (proportional + 2 * derivative) / k) * .pow(memory.earliest, -derivative / k)
    if memory.hasJustRejected { factor = min(factor, 1) }
    memory = Memory(earlier: newest, earliest: memory.earlier, hasJustRejected: false)
    return limited(factor)
  }

  /// The factor for another try after one that is not.
  func reject(_ error: Double, order: Int, memory: inout Memory) -> Double {
    memory.hasJustRejected = true
    return min(limited(safety * .pow(error, -1 / Double(order))), safety)
  }

  /// Bounded, so that one extreme error does not influence later steps.
  private func floored(_ error: Double) -> Double { min(max(error, 1e-4), 1e4) }

  private func limited(_ factor: Double) -> Double {
    factor.isFinite ? min(max(factor, growth.lowerBound), growth.upperBound) : growth.lowerBound
  }
}
