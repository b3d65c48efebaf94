/// A sampler: what it evaluates and how it combines the results, compiled from a grid into a plan.
///
/// A solver does not loop over tensors and keeps no state between steps; it writes down the operations once.
public protocol Solver: Sendable {
  /// The field's name for it, such as `dpm++2m`.
  var name: String { get }

  /// The order of convergence on the probability-flow ODE that theory gives; nil for a solver that adds noise.
  var order: Int? { get }

  /// The orders of convergence on the reverse SDE that theory gives; nil for a solver that adds no noise, or whose
  /// noise follows no SDE.
  var stochasticOrder: StochasticOrder? { get }

  /// Whether it goes from images to noise: its grids rise.
  var isInversion: Bool { get }

  /// Writes the operations for `steps` into `plan`.
  ///
  /// - Throws: ``SamplingError/incompatible(solver:reason:)`` where the solver cannot work on these points.
  func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError)
}

/// How the error of a stochastic solver falls with the step.
public struct StochasticOrder: Hashable, Sendable, Codable {
  /// Of the distribution's error.
  public var weak: Double
  /// Of the error along a Brownian path.
  public var strong: Double

  public init(weak: Double, strong: Double) {
    self.weak = weak
    self.strong = strong
  }
}

extension Solver {
  public var stochasticOrder: StochasticOrder? { nil }
  public var isInversion: Bool { false }

  /// Refuses points with nothing but noise, where ε and x₀ do not determine each other.
  ///
  /// - Parameter exceptAtStart: leaves out the first point, where a solver goes by the limit.
  func requireSignal(_ steps: GridSteps, exceptAtStart: Bool = false) throws(SamplingError) {
    if let point = steps.points.dropFirst(exceptAtStart ? 1 : 0).first(where: { $0.alpha == 0 }) {
      throw .incompatible(
        solver: name, reason: "it divides by alpha, which is 0 at timestep \(point.timestep); a flow solver does not")
    }
  }

  /// Refuses a grid that ends at sigma 0.
  func requireNoise(_ steps: GridSteps) throws(SamplingError) {
    if steps.points.contains(where: \.isClean) {
      throw .incompatible(solver: name, reason: "it works in log sigma, and the grid ends at sigma 0")
    }
  }
}
