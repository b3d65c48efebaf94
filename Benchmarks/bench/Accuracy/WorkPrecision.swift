import Fewstep
import Foundation

/// A solver on a grid at several numbers of steps: what it costs and how far it stays from the converged result.
struct WorkPrecision: Encodable {
  struct Point: Encodable {
    let steps: Int
    /// NFE, one branch of guidance counted.
    let evaluations: Int
    /// Root mean square over all images and elements.
    let error: Double

    var text: String { "\(evaluations): \(String(format: "%.1e", error))" }
  }

  let problem: String
  let solver: String
  let grid: String
  let family: SolverEntry.Family
  let points: [Point]

  /// The numbers of evaluations aimed at; a solver of two evaluations a step takes half the steps.
  static let evaluations = [5, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80, 120]

  /// The largest numbers of steps that cost no more evaluations than those aimed at, without repetition.
  static func steps(of entry: SolverEntry, upTo limit: Int, plan: (Int) throws -> SamplingPlan) rethrows -> [Int] {
    let perStep = max(1, Double(try plan(24).evaluationCount) / 24)
    var steps: [Int] = []
    for count in evaluations where count <= limit {
      let wanted = Int((Double(count) / perStep).rounded())
      if wanted >= 2, steps.last != wanted { steps.append(wanted) }
    }
    return steps
  }
}

extension WorkPrecision {
  /// Runs a solver at the numbers of steps for these evaluations; nil where it does not fit the grid or adds noise.
  ///
  /// - Parameters:
  ///   - limit: the most evaluations aimed at.
  ///   - plan: of a number of steps.
  ///   - images: what a plan makes, in the order of the converged ones.
  static func measured<T: Tensor>(
    _ problem: String, _ entry: SolverEntry, on spacing: GridSpacing, upTo limit: Int = .max, against converged: [T],
    plan: (_ steps: Int) throws -> SamplingPlan, images: (SamplingPlan) async throws -> [T]
  ) async throws -> WorkPrecision? {
    guard (try? plan(24)) != nil else { return nil }
    var points: [Point] = []
    for steps in try Self.steps(of: entry, upTo: limit, plan: plan) {
      guard let plan = try? plan(steps), !plan.isStochastic else { continue }
      let error = rootMeanSquare(of: try await images(plan), minus: converged)
      points.append(.init(steps: steps, evaluations: plan.evaluationCount, error: error))
    }
    guard !points.isEmpty else { return nil }
    return WorkPrecision(
      problem: problem, solver: entry.name, grid: spacing.rawValue, family: entry.family, points: points)
  }

  /// The numbers of evaluations that the printed table shows.
  static let columns = [5, 10, 20, 40, 80]

  /// The error at the most evaluations that are no more than `evaluations`, unless that is below three quarters of
  /// them.
  func cell(_ evaluations: Int) -> String {
    let fitting = points.last { $0.evaluations <= evaluations && 4 * $0.evaluations >= 3 * evaluations }
    return fitting.map { String(format: "%.1e", $0.error) } ?? "-"
  }
}

/// The root mean square of the differences over all tensors.
func rootMeanSquare<T: Tensor>(of tensors: [T], minus others: [T]) -> Double {
  let squares = zip(tensors, others).map { pair in
    let error = T.combining((1, pair.0), (-1, pair.1)).rootMeanSquare()
    return error * error
  }
  return (squares.reduce(0, +) / Double(squares.count)).squareRoot()
}
