/// How numbers become integers: x ≈ step · (level - zero).
public struct LevelScale: Hashable, Sendable, Codable {
  public let step: Double
  /// The level of 0; itself 0 where levels are symmetric.
  public let zero: Int
  public let levels: ClosedRange<Int>

  public init(step: Double, zero: Int, levels: ClosedRange<Int>) {
    self.step = step
    self.zero = zero
    self.levels = levels
  }

  /// The nearest level, ties to even; the last one for what lies beyond. NaN becomes 0's.
  public func level(of value: Double) -> Int {
    guard step > 0, !value.isNaN else { return zero }
    let level = (value / step).rounded(.toNearestOrEven) + Double(zero)
    return Int(min(max(level, Double(levels.lowerBound)), Double(levels.upperBound)))
  }

  public func value(of level: Int) -> Double { step * Double(level - zero) }

  /// The value nearest to `value` that has a level.
  public func rounded(_ value: Double) -> Double { self.value(of: level(of: value)) }
}

/// Where the levels of integers of some bits lie.
public enum LevelSymmetry: String, Hashable, Sendable, Codable, CaseIterable {
  /// As many to either side of 0, whose level is 0.
  case symmetric
  /// From the least value to the largest, and 0 at a level of its own, so that padding stays exact.
  case affine

  /// The levels of `bits` bits: -127 to 127, or 0 to 255, for 8.
  public func levels(bits: Int) -> ClosedRange<Int> {
    let half = 1 << (bits - 1)
    return self == .symmetric ? 1 - half...half - 1 : 0...2 * half - 1
  }

  /// The scale whose levels cover `range` and 0. A range too small to divide has the step 0.
  public func scale(covering range: ClosedRange<Double>, bits: Int) -> LevelScale {
    let levels = levels(bits: bits)
    let (least, most) = (min(range.lowerBound, 0), max(range.upperBound, 0))
    let width = self == .symmetric ? max(-least, most) : most - least
    let step = width / Double(levels.upperBound)
    guard step.isFinite, step > .leastNormalMagnitude else { return LevelScale(step: 0, zero: 0, levels: levels) }
    let zero = self == .symmetric ? 0 : Int((-least / step).rounded())
    return LevelScale(step: step, zero: zero, levels: levels)
  }
}
