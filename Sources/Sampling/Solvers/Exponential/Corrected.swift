/// UniC after a multistep solver: each step is taken again with what the model says at its end, which the next step
/// needs anyway. One order more, at no further evaluation.
///
/// Zhao et al. 2023, arXiv:2302.04867, algorithm 1. The corrected state is built on the prediction at the predicted
/// one. The last step has no evaluation at its end and stays as predicted; so does a step from alpha 0, which is
/// infinitely long in lambda. The error reported is the difference of the two states.
public struct Corrected<Base: MultistepSolver>: Solver {
  public let base: Base
  let corrector: Corrector
  public let name: String

  /// - Parameters:
  ///   - form: as in ``UniPC``; ``UniPC/Form/published`` differs after steps of first order alone.
  ///   - uncorrected: steps, counted from 0, that stay as predicted: diffusers' `disable_corrector`.
  ///   - name: nil names it after the base.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for a base that remembers neither x₀ nor ε.
  public init(
    _ base: Base, form: UniPC.Form = .consistent, uncorrected: Set<Int> = [], name: String? = nil
  ) throws(SamplingError) {
    guard base.prediction == .sample || base.prediction == .epsilon else {
      throw .invalidOption(
        name: "the prediction of a corrected solver", found: base.prediction.rawValue, expected: "sample or epsilon")
    }
    self.base = base
    self.name = name ?? "\(base.name)-corrected"
    corrector = Corrector(prediction: base.prediction, form: form, uncorrected: uncorrected)
  }

  /// One more than the base's, up to 3: the first step is predicted with first order and corrected to second.
  public var order: Int? { base.order.map { min($0 + 1, 3) } }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    try base.compile(steps, into: &plan, corrector: corrector)
  }
}

/// UniC: the exponential Adams-Moulton method through the value at the step's end.
struct Corrector: Hashable, Sendable {
  let prediction: Prediction
  let form: UniPC.Form
  let uncorrected: Set<Int>

  func corrects(_ index: Int, _ step: MultistepStep) -> Bool {
    !uncorrected.contains(index) && step.start.alpha > 0
  }

  func update(_ step: MultistepStep, _ last: PlanExpression.Operand) -> PlanExpression {
    guard step.order == 1, case .published(let scale) = form else {
      return step.interpolated(prediction, through: last)
    }
    let exponential = ExponentialStep(prediction, from: step.start, to: step.end)
    let first = step.values[0].operand
    return step.interpolated(prediction) + scale.weight(exponential) / 2 * (1 * last - 1 * first)
  }
}
