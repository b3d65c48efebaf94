import Tensors

/// How a prediction of the clean image is kept in range.
public enum SampleBound: Hashable, Sendable, Codable {
  /// Every element is limited to ± this.
  case clip(limit: Double)
  /// With s the `quantile` of the magnitudes, or 1 where that is more, or `maximum` where that is less: every element
  /// is limited to ± s and divided by s (Saharia et al. 2022, arXiv:2205.11487, section 2.3).
  case threshold(quantile: Double, maximum: Double)

  /// What makes no sense about the bound; nil if it does.
  var fault: (found: String, expected: String)? {
    switch self {
    case .clip(let limit):
      return limit > 0 && limit.isFinite ? nil : ("\(limit)", "a positive number")
    case .threshold(let quantile, let maximum):
      guard (0...1).contains(quantile) else { return ("quantile \(quantile)", "0 to 1") }
      return maximum >= 1 && maximum.isFinite ? nil : ("maximum \(maximum)", "1 or more")
    }
  }

  @inlinable func apply(to state: inout some Tensor) {
    switch self {
    case .clip(let limit): state.clamp(to: -limit...limit)
    case .threshold(let quantile, let maximum):
      let limit = min(max(state.magnitudeQuantile(quantile), 1), maximum)
      // What is not a number has no quantile: it is left for who looks at the result.
      guard limit.isFinite else { return }
      state.clamp(to: -limit...limit)
      if limit != 1 { state.assign(.init([.init(1 / limit, state)])) }
    }
  }
}
