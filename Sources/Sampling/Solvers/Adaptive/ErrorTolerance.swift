/// How far a sampled image may be from the exact solution: absolute + relative × root mean square.
public struct ErrorTolerance: Hashable, Sendable, Codable {
  public let relative: Double
  public let absolute: Double

  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` unless both are finite and not negative, and one
  ///   is positive.
  public init(relative: Double, absolute: Double = 0) throws(SamplingError) {
    guard relative >= 0, absolute >= 0, relative + absolute > 0, (relative + absolute).isFinite else {
      throw .invalidOption(
        name: "the tolerance", found: "\(relative) relative, \(absolute) absolute",
        expected: "finite numbers of 0 or more, one of them positive")
    }
    self.relative = relative
    self.absolute = absolute
  }

  /// `error`, a root mean square, over what is tolerated of states of these root mean squares. Never a NaN.
  func ratio(of error: Double, states: Double...) -> Double {
    if error == 0 { return 0 }
    let ratio = error / (absolute + relative * (states.max() ?? 0))
    return ratio.isNaN ? .infinity : ratio
  }
}
