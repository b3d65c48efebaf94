import Networks

/// Work of the denoiser that is taken over from earlier steps of the same image, which is not exact.
///
/// What is taken over, when, and how it is carried on to the present time are independent of each other, and the
/// published caches are points of that space. What is remembered belongs to one image and one branch of guidance; when
/// to evaluate in full is decided for each image by itself and for all its branches at once, since guidance enlarges
/// the difference of branches. So an image is the same alone and among others.
public struct StepCache: Hashable, Sendable {
  /// What takes the place of what is not computed.
  public enum Reuse: Hashable, Sendable {
    /// The model's output: nothing is computed.
    case output
    /// The features inside the network that the layers around its first `depth` feature maps see: those are computed.
    case deepFeatures(depth: Int)
  }

  /// When everything is computed.
  public enum Schedule: Hashable, Sendable {
    /// At every n-th evaluation.
    case interval(Int)
    /// When the relative changes of the first block's output, from evaluation to evaluation, have added up to more than
    /// this since the last time. Needs ``Reuse/deepFeatures(depth:)``.
    case change(Double)
  }

  public var reuse: Reuse
  public var schedule: Schedule
  /// The degree of the polynomial in lambda, half the log signal-to-noise ratio, through the newest full evaluations
  /// that carries them on; 0 takes the newest as it is.
  public var order = 0
  /// How many evaluations are full before any is not; at least one more than the order is in any case.
  public var warmUp = 1

  public init(_ reuse: Reuse, _ schedule: Schedule, order: Int = 0, warmUp: Int = 1) {
    self.reuse = reuse
    self.schedule = schedule
    self.order = order
    self.warmUp = warmUp
  }

  /// DeepCache, Ma et al. 2023, arXiv:2312.00858, with the uniform schedule. Orders above 0 are not in the paper.
  public static func deepCache(interval: Int, depth: Int = 2, order: Int = 0) -> StepCache {
    StepCache(.deepFeatures(depth: depth), .interval(interval), order: order)
  }

  /// First-block cache: how much the first block's output has changed says whether the rest is computed; the changes
  /// add up, as in TeaCache (Liu et al. 2024, arXiv:2411.19108). The first block is that of the first `depth` feature
  /// maps.
  public static func firstBlock(threshold: Double, depth: Int = 2, order: Int = 0) -> StepCache {
    StepCache(.deepFeatures(depth: depth), .change(threshold), order: order)
  }

  /// TaylorSeer's idea, Liu et al. 2025, arXiv:2503.06923, for the model's output and in lambda: the paper extrapolates
  /// in the index of the step, which is wrong where steps are not equal.
  public static func taylor(interval: Int, order: Int = 2) -> StepCache {
    StepCache(.output, .interval(interval), order: order)
  }

  /// - Throws: ``PipelineError/invalidRequest(name:found:expected:)`` for what cannot be done with the model.
  func check(for model: UNet2DConditionModel) throws(PipelineError) {
    func require(_ isValid: Bool, _ name: String, found: Any, expected: String) throws(PipelineError) {
      guard isValid else {
        throw .invalidRequest(name: "the step cache's \(name)", found: "\(found)", expected: expected)
      }
    }
    switch schedule {
    case .interval(let interval): try require(interval > 0, "interval", found: interval, expected: "1 or more")
    case .change(let threshold):
      try require(threshold >= 0 && threshold.isFinite, "threshold", found: threshold, expected: "0 or more")
      try require(reuse != .output, "schedule", found: "change with nothing computed", expected: "an interval")
    }
    if case .deepFeatures(let depth) = reuse {
      try require(
        (1..<model.mapCount).contains(depth), "depth", found: depth, expected: "1 to \(model.mapCount - 1)")
    }
    try require((0...4).contains(order), "order", found: order, expected: "0 to 4")
    try require(warmUp >= 0, "warm-up", found: warmUp, expected: "0 or more")
  }
}

extension StepCache: LosslessStringConvertible {
  /// From the command line's form: `deepcache:interval`, `firstblock:threshold` or `taylor:interval`, and after further
  /// colons the depth, for the first two alone, the order and the warm-up. `change:threshold` stands for what no model
  /// can be run with, output that is taken over by its change.
  public init?(_ description: String) {
    let parts = description.lowercased().split(separator: ":", omittingEmptySubsequences: false)
    let rest = parts.dropFirst(2).map { Int($0) }
    guard parts.count > 1, rest.allSatisfy({ $0 != nil }) else { return nil }
    var numbers = rest.compactMap(\.self)[...]
    switch (parts[0], Int(parts[1]), Double(parts[1])) {
    case ("deepcache", let interval?, _): self = .deepCache(interval: interval, depth: numbers.popFirst() ?? 2)
    case ("taylor", let interval?, _): self = .taylor(interval: interval)
    case ("firstblock", _, let threshold?): self = .firstBlock(threshold: threshold, depth: numbers.popFirst() ?? 2)
    case ("change", _, let threshold?): self = StepCache(.output, .change(threshold))
    default: return nil
    }
    order = numbers.popFirst() ?? order
    warmUp = numbers.popFirst() ?? warmUp
    guard numbers.isEmpty else { return nil }
  }

  /// The command line's form, without an order of 0 around deep features and a warm-up of 1.
  public var description: String {
    let (name, numbers): (String, [Int]) =
      switch (reuse, schedule) {
      case (.deepFeatures(let depth), .interval(let interval)): ("deepcache:\(interval)", [depth])
      case (.deepFeatures(let depth), .change(let threshold)): ("firstblock:\(threshold)", [depth])
      case (.output, .interval(let interval)): ("taylor:\(interval)", [])
      case (.output, .change(let threshold)): ("change:\(threshold)", [])
      }
    let isShort = warmUp == 1 && order == 0 && reuse != .output
    let rest = isShort ? [] : warmUp == 1 ? [order] : [order, warmUp]
    return ([name] + (numbers + rest).map(String.init)).joined(separator: ":")
  }
}

/// How an image's evaluations were made, every branch of guidance counting.
public struct StepCacheCounts: Hashable, Sendable, Codable {
  public internal(set) var full = 0
  /// The shallow part of the network alone was run.
  public internal(set) var partial = 0
  /// Nothing was run.
  public internal(set) var skipped = 0

  /// Evaluations that were not made in full.
  public var saved: Int { partial + skipped }
}
