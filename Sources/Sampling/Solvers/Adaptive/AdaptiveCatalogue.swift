/// An embedded pair that can be asked for by name.
public struct AdaptiveEntry: Sendable {
  public let pair: any EmbeddedPair
  /// What it is, in one line.
  public let summary: String
  /// arXiv identifier or citation.
  public let paper: String
  /// The kind of model it samples.
  public let family: SolverEntry.Family

  /// The field's name, such as `dpm++-adaptive-23`.
  public var name: String { pair.name }
}

/// Every pair that an ``AdaptiveSampler`` can step with, by name.
public enum AdaptiveCatalogue {
  public static let all: [AdaptiveEntry] = exponential + rungeKutta

  /// The entry called `name`, letters of either case.
  ///
  /// - Throws: ``SamplingError/unknownSolver(_:known:)``.
  public static func entry(named name: String) throws(SamplingError) -> AdaptiveEntry {
    guard let entry = all.first(where: { $0.name.lowercased() == name.lowercased() }) else {
      throw .unknownSolver(name, known: all.map(\.name))
    }
    return entry
  }

  private static let exponential = [Prediction.sample, .epsilon].flatMap { prediction in
    [2, 3].compactMap { order in
      (try? DPMSolverPair(prediction, order: order)).map { pair in
        AdaptiveEntry(
          pair: pair, summary: "adaptive, orders \(order - 1) and \(order), \(order) evaluations a step",
          paper: prediction == .sample ? "arXiv:2211.01095" : "arXiv:2206.00927", family: .diffusion)
      }
    }
  }

  private static let rungeKutta = RungeKuttaPair.Variable.allCases.flatMap { variable in
    RungeKuttaPair.Method.allCases.map { method in
      let pair = RungeKuttaPair(method, in: variable)
      return AdaptiveEntry(
        pair: pair,
        summary: "adaptive, orders \(pair.lowerOrder) and \(pair.order), \(pair.stages - 1) new evaluations a step",
        paper: method == .bogackiShampine ? "Bogacki and Shampine 1989" : "Dormand and Prince 1980",
        family: variable == .sigma ? .flow : .diffusion)
    }
  }
}
