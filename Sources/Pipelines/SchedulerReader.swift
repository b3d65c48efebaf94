import Checkpoints
import Sampling

/// The keys of a scheduler_config.json, by what they are about.
struct SchedulerReader {
  let values: ConfigurationReader

  init(_ values: ConfigurationReader) {
    self.values = values
  }

  /// The kind of path that a class is for.
  enum Kind {
    case preserving
    case exploding
    case flow

    init(className: String, usesFlow: Bool) {
      self =
        className.hasPrefix("FlowM") || usesFlow
        ? .flow : className.hasPrefix("EDM") ? .exploding : .preserving
    }
  }

  /// Whether a class that is not for flows alone is set to one.
  func usesFlow() throws(CheckpointError) -> Bool {
    let usesSigmas = try values.flag("use_flow_sigmas", default: false)
    let predictsFlow = try values.string("prediction_type", default: "") == "flow_prediction"
    if !values.isAbsent("use_flow_sigmas"), predictsFlow, !usesSigmas {
      throw values.failure("use_flow_sigmas", found: "false", expected: "true for a prediction_type of flow_prediction")
    }
    return usesSigmas || predictsFlow
  }

  func prediction(_ kind: Kind) throws(CheckpointError) -> Prediction {
    let name = try values.string("prediction_type", default: kind == .flow ? "flow_prediction" : "epsilon")
    switch (kind, name) {
    case (.preserving, "epsilon"), (.flow, "epsilon"): return .epsilon
    case (.preserving, "sample"), (.exploding, "sample"), (.flow, "sample"): return .sample
    case (.preserving, "v_prediction"): return .velocity
    case (.flow, "flow_prediction"): return try invertsFlow() ? .inverseFlow : .flow
    // EDM's classes call Karras' F epsilon, and v where its sign is the other; sigma_data then decides.
    case (.exploding, "epsilon"):
      try require("sigma_data", is: 0.5, default: 0.5, where: "prediction_type is epsilon")
      return .edm
    case (.exploding, "v_prediction"):
      try require("sigma_data", is: 1, default: 0.5, where: "prediction_type is v_prediction")
      return .velocity
    default:
      let expected =
        switch kind {
        case .preserving, .exploding: "epsilon, sample or v_prediction"
        case .flow: "flow_prediction, epsilon or sample"
        }
      throw values.failure("prediction_type", found: "\"\(name)\"", expected: expected)
    }
  }

  /// Whether the model's time and velocity run from the noise to the data, as Mochi's do.
  private func invertsFlow() throws(CheckpointError) -> Bool { try values.flag("invert_sigmas", default: false) }

  /// How a model is told the time, where not by its path's timestep.
  func conditioning(_ kind: Kind, trained: Int) throws(CheckpointError) -> TimeConditioning? {
    switch kind {
    case .flow: return try invertsFlow() ? .fromNoise(trainingTimesteps: trained) : nil
    case .exploding: return nil
    case .preserving:
      let name = try values.string("timestep_type", default: "discrete")
      guard ["discrete", "continuous"].contains(name) else {
        throw values.failure("timestep_type", found: "\"\(name)\"", expected: "discrete or continuous")
      }
      // For other predictions diffusers goes on with whole timesteps.
      let predictsVelocity = try prediction(kind) == .velocity
      return name == "continuous" && predictsVelocity ? .quarterLog : nil
    }
  }

  private func require(
    _ key: String, is value: Double, default standard: Double, where condition: String
  ) throws(CheckpointError) {
    let found = try values.number(key, default: standard)
    guard found == value else { throw values.failure(key, found: "\(found)", expected: "\(value) where \(condition)") }
  }

  // MARK: Paths

  func variancePreserving(_ className: String, trained: Int) throws(CheckpointError) -> VariancePreserving {
    let (start, end) = (
      try values.number("beta_start", default: 0.0001), try values.number("beta_end", default: 0.02)
    )
    // The classes that need a finite lambda keep a little signal.
    let keepsSignal = ["Euler", "DPMSolverMultistep", "UniPC"].contains { className.hasPrefix($0) }
    let terminal: VariancePreserving.TerminalSignal =
      try values.flag("rescale_betas_zero_snr", default: false) ? keepsSignal ? .nearlyZero : .zero : .trained
    if !values.isAbsent("trained_betas") {
      let betas = try values.numbers("trained_betas")
      return try checked("trained_betas") { () throws(SamplingError) in
        try VariancePreserving(betas: betas, terminalSignal: terminal)
      }
    }
    let schedule: BetaSchedule
    switch try values.string("beta_schedule", default: "linear") {
    case "linear": schedule = .linear(start: start, end: end)
    case "scaled_linear": schedule = .scaledLinear(start: start, end: end)
    case "squaredcos_cap_v2": schedule = .squaredCosine
    case "sigmoid": schedule = .sigmoid(start: start, end: end)
    case "exp": schedule = .exponential
    case "laplace": schedule = .laplace
    case let other:
      throw values.failure(
        "beta_schedule", found: "\"\(other)\"",
        expected: "linear, scaled_linear, squaredcos_cap_v2, sigmoid, exp or laplace")
    }
    return try checked("beta_start") { () throws(SamplingError) in
      try VariancePreserving(schedule, trainingTimesteps: trained, terminalSignal: terminal)
    }
  }

  func exploding(
    trained: Int, from least: Double = 0.002, to most: Double = 80
  ) throws(CheckpointError) -> VarianceExploding {
    let (lowest, highest) = (
      try values.number("sigma_min", default: least), try values.number("sigma_max", default: most)
    )
    return try checked("sigma_min") { () throws(SamplingError) in
      try VarianceExploding(lowest: lowest, highest: highest, trainingTimesteps: trained)
    }
  }

  /// - Parameter isFlowMatch: whether the class is diffusers' for flows alone, which shifts its default grid twice.
  func flow(
    _ dynamic: DynamicShift?, isFlowMatch: Bool, trained: Int
  ) throws(CheckpointError) -> RectifiedFlow {
    try values.require("stochastic_sampling", in: false)
    if let dynamic {
      return try checked("base_shift") { () throws(SamplingError) in
        try RectifiedFlow(shift: dynamic.shift(tokens: dynamic.baseTokens), trainingTimesteps: trained)
      }
    }
    let key = isFlowMatch ? "shift" : "flow_shift"
    let shift = try values.number(key, default: 1)
    return try checked(key) { () throws(SamplingError) in
      try RectifiedFlow(shift: shift, repeatsShift: isFlowMatch, trainingTimesteps: trained)
    }
  }

  func dynamicShift() throws(CheckpointError) -> DynamicShift? {
    guard try values.flag("use_dynamic_shifting", default: false) else { return nil }
    let name = try values.string("time_shift_type", default: "exponential")
    guard let kind = DynamicShift.Kind(rawValue: name) else {
      throw values.failure("time_shift_type", found: "\"\(name)\"", expected: "exponential or linear")
    }
    let (base, maximum) = (
      try values.number("base_shift", default: 0.5), try values.number("max_shift", default: 1.15)
    )
    let (small, large) = (
      try values.count("base_image_seq_len", default: 256), try values.count("max_image_seq_len", default: 4096)
    )
    return try checked("max_image_seq_len") { () throws(SamplingError) in
      try DynamicShift(kind, base: base, maximum: maximum, baseTokens: small, maximumTokens: large)
    }
  }

  // MARK: Grids

  /// The one of the flags for noise levels that is set.
  func levelSpacing(_ kind: Kind) throws(CheckpointError) -> GridSpacing? {
    if kind == .exploding {
      switch try values.string("sigma_schedule", default: "karras") {
      case "karras": return .karras
      case "exponential": return .exponential
      case let other: throw values.failure("sigma_schedule", found: "\"\(other)\"", expected: "karras or exponential")
      }
    }
    var chosen: (key: String, spacing: GridSpacing)?
    let flags: [(String, GridSpacing)] = [
      ("use_karras_sigmas", .karras), ("use_exponential_sigmas", .exponential), ("use_beta_sigmas", .beta),
      ("use_lu_lambdas", .exponential), ("use_flow_sigmas", .flow),
    ]
    for (key, spacing) in flags where try values.flag(key, default: false) {
      if let chosen { throw values.failure(key, found: "true", expected: "false where \(chosen.key) is true") }
      chosen = (key, spacing)
    }
    return chosen?.spacing
  }

  func spacing(_ kind: Kind) throws(CheckpointError) -> GridSpacing? {
    guard kind == .preserving else { return nil }
    switch try values.string("interpolation_type", default: "linear") {
    case "linear": break
    // N + 1 levels from the most to the least, both among them, whatever else is said of times and of the end.
    case "log_linear": return .uniformLambda
    case let other:
      throw values.failure("interpolation_type", found: "\"\(other)\"", expected: "linear or log_linear")
    }
    guard !values.isAbsent("timestep_spacing") else { return nil }
    let name = try values.string("timestep_spacing")
    guard let spacing = GridSpacing(rawValue: name), [.leading, .linspace, .trailing].contains(spacing) else {
      throw values.failure("timestep_spacing", found: "\"\(name)\"", expected: "leading, linspace or trailing")
    }
    return spacing
  }

  func options(_ kind: Kind, isOfLevels: Bool) throws(CheckpointError) -> GridOptions {
    var options = GridOptions(offset: try values.integer("steps_offset", default: 0))
    options.originalSteps = try values.count("original_inference_steps", default: 50)
    options.end = try values.flag("set_alpha_to_one", default: true) ? .clean : .leastNoise
    switch try values.string("final_sigmas_type", default: "zero") {
    case "zero": break
    case "sigma_min": options.finalNoise = .leastNoise
    case let other: throw values.failure("final_sigmas_type", found: "\"\(other)\"", expected: "zero or sigma_min")
    }
    if kind == .exploding, try values.string("sigma_schedule", default: "karras") == "karras" {
      options.rho = try positive("rho", default: 7)
    }
    if kind == .preserving, isOfLevels, !values.isAbsent("sigma_min") || !values.isAbsent("sigma_max") {
      let (lowest, highest) = (try positive("sigma_min", default: 0), try positive("sigma_max", default: 0))
      guard lowest < highest else {
        throw values.failure("sigma_min", found: "\(lowest)", expected: "less than sigma_max, \(highest)")
      }
      options.levels = lowest...highest
    }
    if kind == .flow, !values.isAbsent("shift_terminal") {
      let terminal = try positive("shift_terminal", default: 0)
      guard terminal < 1 else { throw values.failure("shift_terminal", found: "\(terminal)", expected: "less than 1") }
      options.terminal = terminal
    }
    return options
  }

  // MARK: Bounds

  /// Dynamic thresholding, if it is asked for.
  func threshold() throws(CheckpointError) -> SampleBound? {
    guard try values.flag("thresholding", default: false) else { return nil }
    let quantile = try values.number("dynamic_thresholding_ratio", default: 0.995)
    let maximum = try values.number("sample_max_value", default: 1)
    guard (0...1).contains(quantile) else {
      throw values.failure("dynamic_thresholding_ratio", found: "\(quantile)", expected: "0 to 1")
    }
    guard maximum >= 1 else { throw values.failure("sample_max_value", found: "\(maximum)", expected: "1 or more") }
    return .threshold(quantile: quantile, maximum: maximum)
  }

  // MARK: Variance

  /// The variance of DDPM's steps.
  func variance() throws(CheckpointError) -> DDPM.Variance {
    guard !values.isAbsent("variance_type") else { return .fixedSmall }
    switch try values.string("variance_type") {
    case "fixed_small", "fixed_small_log": return .fixedSmall
    case "fixed_large", "fixed_large_log": return .fixedLarge
    case "learned": return .learned
    case "learned_range": return .learnedRange
    case let other:
      throw values.failure(
        "variance_type", found: "\"\(other)\"",
        expected: "fixed_small, fixed_small_log, fixed_large, fixed_large_log, learned or learned_range")
    }
  }

  func positive(_ key: String, default standard: Double) throws(CheckpointError) -> Double {
    let value = try values.number(key, default: standard)
    guard value > 0 else { throw values.failure(key, found: "\(value)", expected: "a positive number") }
    return value
  }

  /// The value, a sampling error becoming one about `key`.
  private func checked<Value>(_ key: String, _ body: () throws(SamplingError) -> Value) throws(CheckpointError) -> Value
  {
    do {
      return try body()
    } catch {
      throw values.failure(key, found: "a value that cannot be: \(error.description)", expected: "another")
    }
  }
}
