import ArgumentParser
import Fewstep
import Foundation

/// The choice of a guidance method.
struct GuidanceOptions: ParsableArguments {
  @Option(
    name: .customLong("guidance"), parsing: .unconditional,
    help: ArgumentHelp("Scale of classifier-free guidance; 1 is none. Default: 7.5.", valueName: "scale"))
  var scale: Double?

  @Option(
    name: .customLong("guidance-method"),
    help: ArgumentHelp("How the predictions with and without the prompt are combined.", valueName: "name"))
  var method = Method.cfg

  @Option(
    name: .customLong("guidance-rescale"), parsing: .unconditional,
    help: ArgumentHelp("Share of the contrast that is given back, 0 to 1; 0.7 is usual.", valueName: "share"))
  var rescale: Double?

  @Option(
    name: .customLong("guidance-interval"),
    help: ArgumentHelp(
      "Noise levels sigma / alpha to guide at, such as 0.3..5; elsewhere one evaluation is saved.",
      valueName: "low..high"))
  var interval: NoiseInterval?

  enum Method: String, CaseIterable, ExpressibleByArgument {
    /// Classifier-free guidance.
    case cfg
    /// Adaptive projected guidance.
    case apg
    /// CFG-Zero*, for flow models.
    case cfgZero = "cfg-zero"
    case tangential
    /// With the scale falling as the two predictions differ.
    case magnitudeAware = "magnitude-aware"
    /// Classifier-free and perturbed-attention guidance of the middle block.
    case perturbedAttention = "perturbed-attention"
    /// Classifier-free and smoothed-energy guidance of the middle block.
    case smoothedEnergy = "smoothed-energy"
    /// Classifier-free guidance, and away from the model without its middle block.
    case skipLayer = "skip-layer"
    /// For the solvers whose names end in cfg++; the scale lies in 0 to 1.
    case cfgPlusPlus = "cfg++"
  }

  /// Refuses a solver that does not belong to the method.
  func checkSolver(_ solver: String) throws {
    guard solver.lowercased().hasSuffix("cfg++") != (method == .cfgPlusPlus) else { return }
    throw ValidationError(
      "--guidance-method cfg++ with a scale of 0 to 1 belongs to the solvers whose names end in cfg++, "
        + "and the solver is \(solver) with \(method.rawValue)")
  }

  /// What was chosen beside the scale, as an image's parameters say it.
  var fields: [String] {
    var fields: [String] = []
    if method != .cfg { fields.append("Guidance: \(method.rawValue)") }
    if let rescale { fields.append("Guidance rescale: \(rescale)") }
    if let interval { fields.append("Guidance interval: \(interval.lower)..\(interval.upper)") }
    return fields
  }

  /// nil is plain classifier-free guidance, which a request has anyway.
  ///
  /// - Parameter prediction: the model's.
  func guidance(scale: Double, prediction: Prediction) throws -> (any Guidance)? {
    guard method != .cfg || rescale != nil || interval != nil else { return nil }
    var guidance: any Guidance
    switch method {
    case .cfg: guidance = try ClassifierFreeGuidance(scale: scale)
    case .apg: guidance = try AdaptiveProjectedGuidance(scale: scale)
    case .cfgZero: guidance = try CFGZeroStarGuidance(scale: scale)
    case .tangential:
      // Models of other forms may begin where there is no signal, and ε says nothing.
      let space: Prediction = [.epsilon, .sample].contains(prediction) ? .epsilon : prediction
      guidance = try TangentialGuidance(scale: scale, space: space)
    case .magnitudeAware: guidance = try MagnitudeAwareGuidance(scale: scale)
    case .perturbedAttention: guidance = try ClassifierFreeGuidance(scale: scale).perturbedAttention()
    case .smoothedEnergy: guidance = try ClassifierFreeGuidance(scale: scale).smoothedEnergy()
    case .skipLayer: guidance = try ClassifierFreeGuidance(scale: scale).skippingLayers(["mid_block"])
    case .cfgPlusPlus: guidance = try CFGPlusPlusGuidance(scale: scale)
    }
    if let rescale { guidance = try Self.rescaled(guidance, rescale) }
    if let interval { guidance = try Self.limited(guidance, interval) }
    return guidance
  }

  private static func rescaled(_ base: some Guidance, _ share: Double) throws -> any Guidance {
    try RescaledGuidance(base, share: share)
  }

  private static func limited(_ base: some Guidance, _ interval: NoiseInterval) throws -> any Guidance {
    try IntervalGuidance(base, lower: interval.lower, upper: interval.upper)
  }
}

/// Two noise levels such as 0.3..5.
struct NoiseInterval: ExpressibleByArgument {
  let lower: Double
  let upper: Double

  init?(argument: String) {
    guard let dots = argument.range(of: ".."), let lower = Double(argument[..<dots.lowerBound]),
      let upper = Double(argument[dots.upperBound...])
    else { return nil }
    self.lower = lower
    self.upper = upper
  }
}
