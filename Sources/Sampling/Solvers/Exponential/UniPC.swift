/// UniPC: the predictor UniP, an exponential Adams-Bashforth method, and the corrector UniC. One evaluation a step.
///
/// Zhao et al. 2023, arXiv:2302.04867, algorithms 1 and 2. The paper scales its unknowns by a function B(h) of the
/// step; the weights are the solution of a linear system in which it cancels, so that they are those of the
/// interpolation in lambda whatever B. Only where the authors, and diffusers, put 1/2 in the place of a solution does
/// it matter: in the predictor of order 2 and the corrector after a step of first order.
///
/// A predictor of order p with its corrector has order p + 1 where the first steps are short. On even grids the first
/// step, which is corrected to second order, leaves 3 at most, and 2 without correctors.
public struct UniPC: Solver {
  /// B(h), in ε; with -h for h in x₀.
  public enum Scale: String, Hashable, Sendable, CaseIterable {
    /// h.
    case bh1
    /// eʰ - 1.
    case bh2

    /// The weight of f(s) with B in the place of eʰ - 1.
    func weight(_ step: ExponentialStep) -> Double { self == .bh1 ? step.flatWeight : step.weight(1) }
  }

  public enum Form: Hashable, Sendable {
    /// As in the authors' and diffusers' programs.
    case published(Scale)
    /// The linear system's solution everywhere, and the second step of orders 3 and 4 taken anew from the first point.
    case consistent
  }

  private let predictor: UniP
  /// Steps, counted from 0, that stay as predicted.
  public let uncorrected: Set<Int>
  /// Whether there is a corrector at all.
  public let corrects: Bool

  /// - Parameters:
  ///   - prediction: `.sample` for the paper's default, `.epsilon` for its noise prediction.
  ///   - order: the predictor's, 1 to 4.
  ///   - corrects: false leaves UniP alone.
  ///   - uncorrected: steps that stay as predicted: diffusers' `disable_corrector`.
  ///   - lowersFinalOrder: as diffusers does whatever the number of steps.
  /// - Throws: ``SamplingError/invalidOption(name:found:expected:)`` for an order outside 1...4 or another prediction.
  public init(
    _ prediction: Prediction = .sample, order: Int, form: Form = .published(.bh2), corrects: Bool = true,
    uncorrected: Set<Int> = [], lowersFinalOrder: Bool = true
  ) throws(SamplingError) {
    predictor = try UniP(prediction, order: order, form: form, lowersFinalOrder: lowersFinalOrder)
    self.corrects = corrects
    self.uncorrected = uncorrected
  }

  public var prediction: Prediction { predictor.prediction }
  public var stepOrder: Int { predictor.stepOrder }
  public var form: Form { predictor.form }
  public var lowersFinalOrder: Bool { predictor.lowersFinalOrder }

  public var name: String {
    let stem = "uni\(corrects ? "pc" : "p")\(stepOrder)"
    let kind =
      switch form {
      case .published(.bh1): "-bh1"
      case .published(.bh2): ""
      case .consistent: "-consistent"
      }
    return stem + (prediction == .epsilon ? "-epsilon" : "") + kind
  }

  /// A last step of first order, which is not corrected, leaves 2.
  public var order: Int? {
    let order = corrects ? min(stepOrder + 1, 3) : predictor.adamsOrder
    return lowersFinalOrder ? min(order, 2) : order
  }

  public func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
    let corrector = corrects ? Corrector(prediction: prediction, form: form, uncorrected: uncorrected) : nil
    try predictor.compile(steps, into: &plan, corrector: corrector)
  }
}

/// UniPC's predictor.
struct UniP: MultistepSolver {
  let prediction: Prediction
  let stepOrder: Int
  let form: UniPC.Form
  let lowersFinalOrder: Bool

  init(_ prediction: Prediction, order: Int, form: UniPC.Form, lowersFinalOrder: Bool) throws(SamplingError) {
    try checkMultistepOptions("UniPC", prediction, order: order)
    self.prediction = prediction
    self.stepOrder = order
    self.form = form
    self.lowersFinalOrder = lowersFinalOrder
  }

  var name: String { "unip" }
  var order: Int? { adamsOrder }
  var retakesSecondStep: Bool { form == .consistent && stepOrder > 2 }

  func update(_ step: MultistepStep) -> PlanExpression {
    guard step.order == 2, case .published(let scale) = form else { return step.interpolated(prediction) }
    let exponential = ExponentialStep(prediction, from: step.start, to: step.end)
    let before = step.start.lambda - step.values[1].point.lambda
    let slope = exponential.h / before * (1 * step.values[0].operand - 1 * step.values[1].operand)
    return step.lowered.interpolated(prediction) + scale.weight(exponential) / 2 * slope
  }
}

/// Refuses what no exponential multistep method is.
func checkMultistepOptions(_ name: String, _ prediction: Prediction, order: Int) throws(SamplingError) {
  guard (1...4).contains(order) else {
    throw .invalidOption(name: "the order of \(name)", found: "\(order)", expected: "1 to 4")
  }
  guard prediction == .sample || prediction == .epsilon else {
    throw .invalidOption(
      name: "the prediction of \(name)", found: prediction.rawValue, expected: "sample or epsilon")
  }
}

extension MultistepSolver {
  /// An Adams method's order on even grids, which its start limits.
  var adamsOrder: Int { min(stepOrder, retakesSecondStep ? 3 : 2) }
}

extension UniPC {
  static let entries = [
    entry(order: 2, aliases: ["unipc", "UniPCMultistepScheduler"]), entry(order: 3), entry(order: 4),
    entry(order: 2, form: .consistent), entry(order: 3, form: .consistent),
  ]

  private static func entry(order: Int, form: Form = .published(.bh2), aliases: [String] = []) -> SolverEntry {
    SolverEntry(
      "unipc\(order)\(form == .consistent ? "-consistent" : "")", aliases: aliases,
      "predictor of order \(order) and corrector of order \(order + 1), 5 to 20 steps", paper: "arXiv:2302.04867",
      otherFamilies: [.flow], conventions: .multistep
    ) { _ throws(SamplingError) in
      try UniPC(order: order, form: form)
    }
  }
}
