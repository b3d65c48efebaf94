import Checkpoints
import Sampling

/// What a model's scheduler_config.json says of its noise path, its prediction and its grid.
///
/// It does not bind a model to one sampler: any solver of its family can be used, and takes from here what its
/// counterpart in diffusers would.
public struct SchedulerConfiguration: Sendable {
  /// diffusers' class, such as `DDIMScheduler`.
  public let className: String
  public let family: SolverEntry.Family
  public let path: any NoisePath
  public let prediction: Prediction

  private let spacing: GridSpacing?
  private let offset: Int
  private let end: GridEnd
  private let finalNoise: GridEnd?
  private let clippingLimit: Double?

  /// Reads scheduler/scheduler_config.json.
  ///
  /// - Throws: `CheckpointError` naming the key whose value is malformed or not supported.
  public init(_ folder: ModelFolder) throws(CheckpointError) {
    let reader = try ConfigurationReader(folder, component: "scheduler", file: "scheduler_config.json")
    className = try reader.string("_class_name")
    let steps = try reader.count("num_train_timesteps", default: 1000)
    for key in ["use_dynamic_shifting", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "thresholding"] {
      try reader.require(key, in: false)
    }
    guard !className.hasPrefix("FlowMatch") else {
      family = .flow
      prediction = .flow
      try reader.require("shift_terminal")
      try reader.require("use_karras_sigmas", in: false)
      try reader.require("stochastic_sampling", in: false)
      let shift = try reader.number("shift", default: 1)
      path = try Self.checked(reader, "shift") { () throws(SamplingError) in
        try RectifiedFlow(shift: shift, trainingTimesteps: steps)
      }
      (spacing, offset, end, finalNoise, clippingLimit) = (nil, 0, .clean, nil, nil)
      return
    }
    family = .diffusion
    try reader.require("rescale_betas_zero_snr", in: false)
    try reader.require("trained_betas")
    try reader.require("interpolation_type", in: "linear")
    let (start, last) = (
      try reader.number("beta_start", default: 0.0001), try reader.number("beta_end", default: 0.02)
    )
    let schedule: BetaSchedule
    switch try reader.string("beta_schedule", default: "linear") {
    case "linear": schedule = .linear(start: start, end: last)
    case "scaled_linear": schedule = .scaledLinear(start: start, end: last)
    case "squaredcos_cap_v2": schedule = .squaredCosine
    case let other:
      throw reader.failure(
        "beta_schedule", found: "\"\(other)\"", expected: "linear, scaled_linear or squaredcos_cap_v2")
    }
    path = try Self.checked(reader, "beta_start") { () throws(SamplingError) in
      try VariancePreserving(schedule, trainingTimesteps: steps)
    }
    switch try reader.string("prediction_type", default: "epsilon") {
    case "epsilon": prediction = .epsilon
    case "sample": prediction = .sample
    case "v_prediction": prediction = .velocity
    case let other:
      throw reader.failure("prediction_type", found: "\"\(other)\"", expected: "epsilon, sample or v_prediction")
    }
    if try reader.flag("use_karras_sigmas", default: false) {
      spacing = .karras
    } else if reader.isAbsent("timestep_spacing") {
      spacing = nil
    } else {
      let name = try reader.string("timestep_spacing")
      spacing = try Self.checked(reader, "timestep_spacing") { () throws(SamplingError) in
        try GridSpacing(named: name)
      }
    }
    offset = try reader.integer("steps_offset", default: 0)
    end = try reader.flag("set_alpha_to_one", default: true) ? .clean : .leastNoise
    finalNoise = try reader.string("final_sigmas_type", default: "zero") == "sigma_min" ? .leastNoise : nil
    clippingLimit =
      try reader.flag("clip_sample", default: className.hasPrefix("DDPM") || className.hasPrefix("DDIM"))
      ? try reader.number("clip_sample_range", default: 1) : nil
  }

  /// The solver that stands for the scheduler's class, or the usual one of its family where there is none.
  public var defaultSolver: SolverEntry {
    let names = [className, family == .flow ? "flow-euler" : "dpm++2m"]
    let entries = names.compactMap { try? SolverCatalogue.entry(named: $0) }
    return entries.first ?? SolverCatalogue.all[0]
  }

  /// The plan of a solver on this model.
  ///
  /// - Parameter spacing: nil takes the configuration's.
  /// - Throws: `SamplingError` where the solver is of another family or the grid does not fit.
  public func plan(
    _ solver: SolverEntry, steps: Int, spacing: GridSpacing? = nil
  ) throws(SamplingError) -> SamplingPlan {
    guard solver.families.contains(family) else {
      let sampled = solver.families.map(\.rawValue).sorted().joined(separator: " and ")
      throw .incompatible(
        solver: solver.name, reason: "it samples \(sampled) models, and this one's scheduler is \(className)")
    }
    let chosen = spacing ?? (solver.conventions.hasFixedSpacing ? nil : self.spacing) ?? solver.conventions.spacing
    let points = try chosen.points(
      steps: steps, for: solver.conventions, on: path, offset: offset, end: end, finalNoise: finalNoise)
    return try SamplingPlan(
      solver.make(steps), at: points, prediction: prediction,
      bound: solver.conventions.clipsSamples ? clippingLimit.map { .clip(limit: $0) } : nil)
  }

  /// The value, a sampling error becoming one about `key`.
  private static func checked<Value>(
    _ reader: ConfigurationReader, _ key: String, _ body: () throws(SamplingError) -> Value
  ) throws(CheckpointError) -> Value {
    do {
      return try body()
    } catch {
      throw reader.failure(key, found: "an impossible value", expected: error.description)
    }
  }
}
