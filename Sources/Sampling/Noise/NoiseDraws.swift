import RealModule

/// Hands out the streams of a plan's noise.
struct NoiseDraws {
  typealias Noise = SamplingPlan.Combination.Noise

  let correlation: NoiseCorrelation
  private var count: UInt32 = 0
  /// Where the path of the step under way is known, by rising lambda, and its value there as a combination of draws.
  private var knots: [(lambda: Double, value: [Noise])] = []
  /// Where the step's clock counts from, so that no power overflows.
  private var origin: Double?

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
  /// Where draws are independent all increments of a step are still those of one path in the clock e^(2 lambda),
  /// whatever the order they are asked for in: beyond what is known a fresh draw goes on, and between two known points
  /// the path is on the straight line but for a fresh draw. Steps have paths of their own.
  mutating func increment(from: Double, to: Double) -> [Noise] {
    guard from.isFinite, to.isFinite else { return [fresh()] }
    if correlation == .brownian {
      guard let terms = BrownianPath.increment(from: from, to: to) else { return [fresh()] }
      return terms.map { Noise(coefficient: $0.coefficient, stream: $0.stream) }
    }
    guard from != to else { return [] }
    origin = origin ?? from
    let (start, end) = (value(at: from), value(at: to))
    let deviation = abs(clock(from: from, to: to)).squareRoot()
    return Self.sum((1, end), (-1, start)).map {
      Noise(coefficient: $0.coefficient / deviation, stream: $0.stream)
    }
  }

  /// The path at `lambda`, less where the step first asked for it.
  private mutating func value(at lambda: Double) -> [Noise] {
    let index = knots.firstIndex { $0.lambda >= lambda } ?? knots.count
    let value: [Noise]
    switch (index > 0 ? knots[index - 1] : nil, index < knots.count ? knots[index] : nil) {
    case (nil, nil):
      value = []
    case (_, let next?) where next.lambda == lambda:
      return next.value
    case (let previous?, let next?):
      let (before, after) = (clock(from: previous.lambda, to: lambda), clock(from: lambda, to: next.lambda))
      let span = before + after
      value = Self.sum(
        (after / span, previous.value), (before / span, next.value), ((before * after / span).squareRoot(), [fresh()]))
    case (let previous?, nil):
      value = Self.sum((1, previous.value), (clock(from: previous.lambda, to: lambda).squareRoot(), [fresh()]))
    case (nil, let next?):
      value = Self.sum((1, next.value), (-clock(from: lambda, to: next.lambda).squareRoot(), [fresh()]))
    }
    knots.insert((lambda, value), at: index)
    return value
  }

  /// How far the clock goes, as a multiple of its value at the origin.
  private func clock(from: Double, to: Double) -> Double {
    .exp(2 * (from - (origin ?? from))) * .expMinusOne(2 * (to - from))
  }

  private static func sum(_ parts: (Double, [Noise])...) -> [Noise] {
    var sum: [Noise] = []
    for (scale, noises) in parts {
      for noise in noises {
        if let index = sum.firstIndex(where: { $0.stream == noise.stream }) {
          sum[index].coefficient += scale * noise.coefficient
        } else {
          sum.append(Noise(coefficient: scale * noise.coefficient, stream: noise.stream))
        }
      }
    }
    return sum.filter { $0.coefficient != 0 }
  }

  /// The next step's path is another.
  mutating func forgetIntervals() { (knots, origin) = ([], nil) }
}
