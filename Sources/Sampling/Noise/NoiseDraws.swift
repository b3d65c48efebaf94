import RealModule

/// Hands out the streams of a plan's noise.
struct NoiseDraws {
  typealias Noise = SamplingPlan.Combination.Noise

  let correlation: NoiseCorrelation
  private var count: UInt32 = 0
  /// The intervals of the step under way that have a draw of their own, end to end.
  private var intervals: [(from: Double, to: Double, stream: UInt32)] = []

  init(_ correlation: NoiseCorrelation) {
    self.correlation = correlation
  }

  /// A draw that nothing else has.
  mutating func fresh() -> Noise {
    count += 1
    return Noise(coefficient: 1, stream: count)
  }

  /// The Brownian increment between two values of lambda, scaled to variance 1.
  ///
  /// Where draws are independent an interval that begins with those already drawn in this step takes them, each with
  /// the square root of its share of the clock e^(2 lambda), and a fresh draw for the rest.
  mutating func increment(from: Double, to: Double) -> [Noise] {
    guard from.isFinite, to.isFinite else { return [fresh()] }
    if correlation == .brownian {
      guard let terms = BrownianPath.increment(from: from, to: to) else { return [fresh()] }
      return terms.map { Noise(coefficient: $0.coefficient, stream: $0.stream) }
    }
    var parts = intervals.filter { $0.from >= from && $0.to <= to }
    let end = parts.last?.to ?? from
    if end < to {
      let part = (from: end, to: to, stream: fresh().stream)
      parts.append(part)
      intervals.append(part)
    }
    // Relative to the end, so that no power overflows.
    func clock(_ lambda: Double) -> Double { .exp(2 * (lambda - to)) }
    let whole = clock(to) - clock(from)
    return parts.map {
      Noise(
        coefficient: parts.count == 1 ? 1 : ((clock($0.to) - clock($0.from)) / whole).squareRoot(), stream: $0.stream)
    }
  }

  /// The next step's intervals begin where this one's end.
  mutating func forgetIntervals() { intervals = [] }
}
