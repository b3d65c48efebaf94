import RealModule
import Tensors

/// How the error of a solver falls as its steps are made smaller.
///
/// Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", II.4: an error of C hᵖ is a line of
/// slope p in a diagram of both logarithms.
public struct Convergence: Hashable, Sendable {
  /// Each run had twice as many steps as the one before.
  public let steps: [Int]
  /// The relative errors, root mean square: against the exact trajectory where the data have one, else between each run
  /// and the next, which is one fewer.
  public let errors: [Double]

  /// The slope between the first and the last error.
  public var order: Double {
    guard let first = errors.first, let last = errors.last, errors.count > 1 else { return .nan }
    return .log(first / last) / (Double(errors.count - 1) * .log(2))
  }
}

extension Convergence {
  /// Runs a solver on normally distributed data, whose trajectory is known, on three grids.
  ///
  /// - Parameters:
  ///   - start: one state of unit variance.
  ///   - coarse: the steps of the coarsest grid.
  ///   - points: the grid of so many steps; all must have the same ends, and the last must have noise.
  /// - Throws: `SamplingError` where the solver does not fit the grid.
  public nonisolated(nonsending) static func measured(
    _ solver: some Solver, prediction: Prediction, on data: GaussianData, from start: DoubleTensor, coarse: Int,
    points: (_ steps: Int) throws -> [TimePoint]
  ) async throws -> Convergence {
    let steps = [coarse, 2 * coarse, 4 * coarse]
    var errors: [Double] = []
    for count in steps {
      let plan = try SamplingPlan(solver, at: points(count), prediction: prediction)
      let scaled = DoubleTensor.combining((plan.initialScale, start))
      let exact = data.trajectory(of: scaled, from: plan.grid[0], to: plan.grid[plan.stepCount])
      errors.append(try await plan.solve(data, from: [start])[0].state.relativeError(to: exact))
    }
    return Convergence(steps: steps, errors: errors)
  }

  /// Runs a solver on data without a known trajectory, on three grids, and compares each run with the next.
  ///
  /// - Throws: `SamplingError` where the solver does not fit the grid.
  public nonisolated(nonsending) static func measured(
    _ solver: some Solver, prediction: Prediction, on data: GaussianMixtureData, from start: DoubleTensor, coarse: Int,
    points: (_ steps: Int) throws -> [TimePoint]
  ) async throws -> Convergence {
    let steps = [coarse, 2 * coarse, 4 * coarse]
    var results: [DoubleTensor] = []
    for count in steps {
      let plan = try SamplingPlan(solver, at: points(count), prediction: prediction)
      results += try await plan.solve(data, from: [start]).map(\.state)
    }
    return Convergence(steps: steps, errors: zip(results, results.dropFirst()).map { $0.relativeError(to: $1) })
  }
}
