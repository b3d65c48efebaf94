import Fewstep
import Foundation
import Testing

@Suite("Scheduler configurations")
struct SchedulerConfigurationTests {
  /// The configuration in a model folder that has nothing else.
  static func configuration(_ json: String) throws -> SchedulerConfiguration {
    let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let scheduler = folder.appending(path: "scheduler")
    try FileManager.default.createDirectory(at: scheduler, withIntermediateDirectories: true)
    try Data(#"{"_class_name": "StableDiffusionPipeline"}"#.utf8).write(to: folder.appending(path: "model_index.json"))
    try Data(json.utf8).write(to: scheduler.appending(path: "scheduler_config.json"))
    return try SchedulerConfiguration(ModelFolder(url: folder))
  }

  static func times(_ json: String, _ solver: String, steps: Int) throws -> [Double] {
    try configuration(json).plan(SolverCatalogue.entry(named: solver), steps: steps).grid.map(\.timestep)
  }

  /// As Stable Diffusion 1.5 ships it.
  static let pndm = """
    {"_class_name": "PNDMScheduler", "_diffusers_version": "0.7.0.dev0", "beta_end": 0.012,
     "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
     "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false}
    """

  @Test func whatIsNotSaidIsTheSolversOwnDefault() throws {
    // DDIM's default spacing is leading, to which the offset belongs; DPM-Solver's is linspace, to which it does not.
    #expect(try Self.times(Self.pndm, "ddim", steps: 4) == [751, 501, 251, 1, 0])
    #expect(try Self.times(Self.pndm, "dpm++2m", steps: 4) == [999, 749, 500, 250, 0])
    #expect(try Self.configuration(Self.pndm).defaultSolver.name == "pndm")
    #expect(try Self.configuration(Self.pndm).plan(SolverCatalogue.entry(named: "ddim"), steps: 4).grid[4].sigma > 0)
    #expect(try Self.configuration(Self.pndm).plan(SolverCatalogue.entry(named: "dpm++2m"), steps: 4).grid[4].isClean)
  }

  @Test func spacingAndEndsAreRead() throws {
    let json = """
      {"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "linear", "prediction_type": "v_prediction",
       "timestep_spacing": "trailing", "final_sigmas_type": "sigma_min"}
      """
    let configuration = try Self.configuration(json)
    #expect(configuration.prediction == .velocity && configuration.defaultSolver.name == "dpm++2m")
    let plan = try configuration.plan(configuration.defaultSolver, steps: 4)
    #expect(plan.grid.map(\.timestep) == [999, 749, 499, 249, 0] && !plan.grid[4].isClean)
    let karras = json.replacingOccurrences(of: #""timestep_spacing": "trailing""#, with: #""use_karras_sigmas": true"#)
    #expect(try Self.times(karras, "dpm++2m", steps: 3)[1].truncatingRemainder(dividingBy: 1) != 0)
  }

  @Test func clippingIsForThoseWhoClip() throws {
    let json = #"{"_class_name": "DDPMScheduler", "clip_sample_range": 2}"#
    let configuration = try Self.configuration(json)
    func bounds(_ solver: String) throws -> [SampleBound] {
      try configuration.plan(SolverCatalogue.entry(named: solver), steps: 3).operations.compactMap { operation in
        if case .combine(let combination) = operation { combination.bound } else { nil }
      }
    }
    #expect(try bounds("ddpm") == Array(repeating: .clip(limit: 2), count: 3))
    #expect(try bounds("dpm++2m").isEmpty)
  }

  /// DDPM takes the variance that is named; other solvers have no use for it.
  @Test(arguments: [
    ("", DDPM.Variance.fixedSmall), (#", "variance_type": null"#, .fixedSmall),
    (#", "variance_type": "fixed_small""#, .fixedSmall), (#", "variance_type": "fixed_small_log""#, .fixedSmall),
    (#", "variance_type": "fixed_large""#, .fixedLarge), (#", "variance_type": "fixed_large_log""#, .fixedLarge),
    (#", "variance_type": "learned""#, .learned), (#", "variance_type": "learned_range""#, .learnedRange),
  ])
  func variancesAreRead(_ option: String, _ variance: DDPM.Variance) throws {
    let plan = try Self.configuration(#"{"_class_name": "DDPMScheduler"\#(option)}"#)
      .plan(SolverCatalogue.entry(named: "ddpm"), steps: 5)
    let path = try VariancePreserving(.linear(start: 0.0001, end: 0.02))
    let expected = try SamplingPlan(
      DDPM(variance: variance), on: path, grid: LeadingGrid(steps: 5), bound: .clip(limit: 1))
    #expect(plan == expected)
  }

  /// A distilled model's scheduler names the times that it was distilled on, and LCM's scaling; other spacings are not
  /// its.
  @Test func distilledModels() throws {
    func plan(_ name: String, _ options: String = "", solver: String? = nil, steps: Int = 4) throws -> SamplingPlan {
      let configuration = try Self.configuration(#"{"_class_name": "\#(name)"\#(options)}"#)
      return try configuration.plan(
        solver.map { try SolverCatalogue.entry(named: $0) } ?? configuration.defaultSolver, steps: steps)
    }
    let times = [999.0, 759, 499, 259]
    for name in ["LCMScheduler", "TCDScheduler"] {
      #expect(try plan(name).grid.dropLast().map(\.timestep) == times, "\(name)")
      let few = try plan(name, #", "original_inference_steps": 20"#, steps: 2)
      #expect(few.grid.dropLast().map(\.timestep) == [999, 499], "\(name)")
    }
    let karras = #", "use_karras_sigmas": true, "timestep_spacing": "leading""#
    #expect(try plan("DPMSolverMultistepScheduler", karras, solver: "lcm").grid.dropLast().map(\.timestep) == times)
    let scaled = try plan("LCMScheduler", #", "timestep_scaling": 0.001"#)
    #expect(try scaled.grid == plan("LCMScheduler").grid && scaled != plan("LCMScheduler"))
    #expect(throws: SamplingError.invalidSteps(found: 51, allowed: 1...50)) { try plan("LCMScheduler", steps: 51) }
    #expect(throws: CheckpointError.self) { try plan("LCMScheduler", #", "timestep_scaling": 0"#) }
  }

  @Test func flowMatching() throws {
    let configuration = try Self.configuration(#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}"#)
    #expect(configuration.family == .flow && configuration.prediction == .flow)
    let plan = try configuration.plan(configuration.defaultSolver, steps: 2)
    #expect(plan.solver == "flow-euler" && plan.grid[0].sigma == 1 && plan.grid[2].isClean)
  }

  /// An exponential solver in x₀ samples models of either family.
  @Test func solversOfBothFamilies() throws {
    let configuration = try Self.configuration(#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#)
    for name in ["unipc2", "dpm++2m", "flow-heun"] {
      let plan = try configuration.plan(SolverCatalogue.entry(named: name), steps: 4)
      #expect(plan.grid[0].sigma == 1 && plan.grid[4].isClean && plan.prediction == .flow, "\(name)")
    }
    // Models of either family refuse the other's own.
    #expect(throws: SamplingError.self) {
      try configuration.plan(SolverCatalogue.entry(named: "dpm-solver-2m"), steps: 4)
    }
    #expect(throws: SamplingError.self) {
      try Self.configuration(Self.pndm).plan(SolverCatalogue.entry(named: "flow-heun"), steps: 4)
    }
    #expect(try Self.configuration(Self.pndm).plan(SolverCatalogue.entry(named: "unipc2"), steps: 4).stepCount == 4)
  }

  static func points(
    _ json: String, steps: Int, spacing: GridSpacing? = nil, start: GridStart? = nil, shift: Double? = nil,
    imageTokens: Int? = nil
  ) throws -> [TimePoint] {
    let configuration = try configuration(json)
    return try configuration.plan(
      configuration.defaultSolver, steps: steps, spacing: spacing, start: start, shift: shift,
      imageTokens: imageTokens
    ).grid
  }

  @Test func pathsAreRead() throws {
    func end(_ options: String) throws -> TimePoint {
      try Self.configuration(#"{"_class_name": "DDIMScheduler", \#(options)}"#).path.noisiest
    }
    for (name, schedule) in [
      ("sigmoid", BetaSchedule.sigmoid(start: 0.0001, end: 0.02)), ("exp", .exponential), ("laplace", .laplace),
    ] {
      #expect(try end(#""beta_schedule": "\#(name)""#) == VariancePreserving(schedule).noisiest)
    }
    #expect(try end(#""trained_betas": [0.1, 0.2, 0.3]"#) == VariancePreserving(betas: [0.1, 0.2, 0.3]).noisiest)
    #expect(try end(#""rescale_betas_zero_snr": true"#).alpha == 0)
    let euler = """
      {"_class_name": "EulerDiscreteScheduler", "rescale_betas_zero_snr": true, "beta_schedule": "scaled_linear",
       "beta_start": 0.00085, "beta_end": 0.012}
      """
    #expect(try abs(Self.configuration(euler).path.noisiest.noiseToSignal - 4096) < 1e-3)
  }

  @Test func zeroTerminalSignalWantsAnotherPrediction() throws {
    let json = #"{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#
    #expect(throws: SamplingError.self) { try Self.points(json, steps: 4) }
    let velocity = json.replacingOccurrences(of: "true,", with: #"true, "prediction_type": "v_prediction","#)
    #expect(try Self.points(velocity, steps: 4)[0].alpha == 0)
  }

  @Test func spacingsOfNoiseLevelsAreRead() throws {
    let path = VariancePreserving.stableDiffusion
    for (key, spacing) in [
      ("use_karras_sigmas", GridSpacing.karras), ("use_exponential_sigmas", .exponential),
      ("use_beta_sigmas", .beta), ("use_lu_lambdas", .exponential),
    ] {
      let json = """
        {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
         "beta_end": 0.012, "\(key)": true, "timestep_spacing": "leading"}
        """
      let euler = try SolverCatalogue.entry(named: "euler").conventions
      #expect(try Self.points(json, steps: 6) == spacing.points(steps: 6, for: euler, on: path))
      // Another that is asked for comes first.
      #expect(try Self.points(json, steps: 6, spacing: .trailing)[0] == path.point(at: 999))
    }
    let own = """
      {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
       "beta_end": 0.012, "use_karras_sigmas": true, "sigma_min": 0.1, "sigma_max": 10}
      """
    let points = try Self.points(own, steps: 6)
    #expect(abs(points[0].noiseToSignal - 10) < 1e-12 && abs(points[5].noiseToSignal - 0.1) < 1e-13)
    #expect(try Self.points(own, steps: 6, spacing: .exponential)[0].noiseToSignal > 14)
  }

  /// The grids that NamedGridParityTests compares with diffusers.
  @Test func logLinearLevels() throws {
    let json = """
      {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
       "beta_end": 0.012, "interpolation_type": "log_linear", "timestep_spacing": "leading", "steps_offset": 1}
      """
    let path = VariancePreserving.stableDiffusion
    #expect(try Self.points(json, steps: 7) == UniformLambdaGrid(steps: 7).points(on: path))
    let karras = json.replacingOccurrences(of: #""timestep_spacing""#, with: #""use_karras_sigmas": true, "a""#)
    #expect(try Self.points(karras, steps: 7) == KarrasGrid(steps: 7).points(on: path))
  }

  static func toldTimes(_ plan: SamplingPlan) -> [Double] {
    plan.operations.compactMap { if case .evaluate(let evaluation) = $0 { evaluation.point.timestep } else { nil } }
  }

  /// As Stable Video Diffusion has it, and without levels of its own.
  @Test func continuousTimes() throws {
    let json = """
      {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
       "beta_end": 0.012, "prediction_type": "v_prediction", "sigma_min": 0.002, "sigma_max": 700, "steps_offset": 1,
       "timestep_spacing": "leading", "timestep_type": "continuous", "use_karras_sigmas": true}
      """
    let video = try Self.configuration(json)
    let path = try VarianceExploding(lowest: 0.002, highest: 700)
    #expect(try Self.points(json, steps: 7) == KarrasGrid(steps: 7).points(on: path))
    #expect(video.prediction == .velocity)
    // The network sees a state of variance 1, as with diffusers' scale_model_input.
    #expect(video.prediction.inputScale(at: path.noisiest) == 1 / (700.0 * 700 + 1).squareRoot())
    let timesteps = json.replacingOccurrences(of: #""use_karras_sigmas": true"#, with: #""use_karras_sigmas": false"#)
    let configuration = try Self.configuration(timesteps)
    let plan = try configuration.plan(configuration.defaultSolver, steps: 5)
    #expect(plan.grid.map(\.timestep) == [801, 601, 401, 201, 1, 0])
    #expect(Self.toldTimes(plan) == plan.grid.dropLast().map { 0.25 * log($0.noiseToSignal) })
    #expect(throws: SamplingError.self) {
      try configuration.adaptiveSampler(AdaptiveCatalogue.all[0], tolerance: 0.01, maximumEvaluations: 50)
    }
    // For other predictions diffusers reads no more than the word.
    let epsilon = timesteps.replacingOccurrences(of: "v_prediction", with: "epsilon")
    let plain = try Self.configuration(epsilon)
    #expect(try Self.toldTimes(plain.plan(plain.defaultSolver, steps: 5)) == [801, 601, 401, 201, 1])
  }

  /// Mochi's time and velocity run from the noise to the data.
  @Test func invertedFlows() throws {
    let json = #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "invert_sigmas": true}"#
    let configuration = try Self.configuration(json)
    #expect(configuration.prediction == .inverseFlow && configuration.family == .flow)
    let plan = try configuration.plan(configuration.defaultSolver, steps: 4)
    let path = try RectifiedFlow(shift: 3, repeatsShift: true)
    #expect(try plan.grid == LinspaceGrid(steps: 4).points(on: path))
    #expect(Self.toldTimes(plan) == plan.grid.dropLast().map { 1000 * (1 - $0.sigma) } && Self.toldTimes(plan)[0] == 0)
  }

  @Test func thresholdingIsForAll() throws {
    let json = #"{"_class_name": "DDIMScheduler", "thresholding": true, "sample_max_value": 2}"#
    let configuration = try Self.configuration(json)
    for solver in ["ddim", "dpm++2m"] {
      let plan = try configuration.plan(SolverCatalogue.entry(named: solver), steps: 2)
      let bounds = plan.operations.compactMap { operation in
        if case .combine(let combination) = operation { combination.bound } else { nil }
      }
      #expect(bounds == Array(repeating: .threshold(quantile: 0.995, maximum: 2), count: 2))
    }
  }

  @Test func exploding() throws {
    let json = #"{"_class_name": "EDMEulerScheduler", "sigma_max": 40, "rho": 5, "final_sigmas_type": "sigma_min"}"#
    let configuration = try Self.configuration(json)
    #expect(configuration.prediction == .edm && configuration.family == .diffusion)
    let points = try configuration.plan(SolverCatalogue.entry(named: "euler"), steps: 5).grid
    #expect(points[0].sigma == 40 && points[5].sigma == 0.002 && points[0].timestep == 0.25 * log(40))
    let expected = try KarrasGrid(steps: 5, rho: 5).points(on: VarianceExploding(lowest: 0.002, highest: 40))
    #expect(points.dropLast() == expected.dropLast())
    let velocity = #"{"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction", "sigma_data": 1}"#
    #expect(try Self.configuration(velocity).prediction == .velocity)
  }

  @Test func flowShifts() throws {
    let twice = try Self.points(#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}"#, steps: 8)
    #expect(abs(twice[7].sigma - 0.00892857142857143) < 1e-15)
    let dynamic = #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}"#
    for tokens in [256, 1024, 4096] {
      let shift = try DynamicShift().shift(tokens: tokens)
      #expect(
        try Self.points(dynamic, steps: 8, imageTokens: tokens)
          == LinspaceGrid(steps: 8).points(on: RectifiedFlow(shift: shift)))
    }
    #expect(try Self.points(dynamic, steps: 8) == Self.points(dynamic, steps: 8, imageTokens: 256))
    #expect(
      try Self.points(dynamic, steps: 8, shift: 2) == LinspaceGrid(steps: 8).points(on: RectifiedFlow(shift: 2)))
    #expect(throws: SamplingError.self) { try Self.points(dynamic, steps: 8, imageTokens: 0) }
    let terminal = dynamic.replacingOccurrences(of: "true", with: #"true, "shift_terminal": 0.1"#)
    #expect(try abs(Self.points(terminal, steps: 8)[7].sigma - 0.1) < 1e-15)
    let multistep = """
      {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": true,
       "flow_shift": 3}
      """
    let points = try Self.points(multistep, steps: 8)
    #expect(points == (try TrailingGrid(steps: 8, omitted: 1).points(on: RectifiedFlow(shift: 3))))
    #expect(throws: SamplingError.self) { try Self.points(#"{"_class_name": "DDIMScheduler"}"#, steps: 3, shift: 2) }
  }

  @Test func startsKeepTheSteps() throws {
    for strength in [0.02, 0.33, 1] {
      let points = try Self.points(Self.pndm, steps: 10, start: .strength(strength))
      #expect(points.count == 11 && abs(points[0].timestep - 999 * strength) < 1e-10)
    }
  }

  @Test(arguments: [
    (#"{}"#, "_class_name"), (#"{"_class_name": "DDIMScheduler", "beta_schedule": "cubic"}"#, "beta_schedule"),
    (#"{"_class_name": "DDIMScheduler", "prediction_type": "trigflow"}"#, "prediction_type"),
    (#"{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": 1}"#, "rescale_betas_zero_snr"),
    (#"{"_class_name": "DDIMScheduler", "trained_betas": [0.1, "x"]}"#, "trained_betas"),
    (#"{"_class_name": "DDIMScheduler", "trained_betas": [0.1, 2]}"#, "trained_betas"),
    (#"{"_class_name": "DDIMScheduler", "thresholding": true, "sample_max_value": 0.5}"#, "sample_max_value"),
    (
      #"{"_class_name": "DDIMScheduler", "thresholding": true, "dynamic_thresholding_ratio": 2}"#,
      "dynamic_thresholding_ratio"
    ),
    (
      #"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true}"#,
      "use_beta_sigmas"
    ),
    (#"{"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "none"}"#, "final_sigmas_type"),
    (#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "sigma_max": 5}"#, "sigma_min"),
    (#"{"_class_name": "EulerDiscreteScheduler", "interpolation_type": "cubic"}"#, "interpolation_type"),
    (#"{"_class_name": "EulerDiscreteScheduler", "timestep_type": "whole"}"#, "timestep_type"),
    (#"{"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "karras"}"#, "timestep_spacing"),
    (#"{"_class_name": "EDMEulerScheduler", "sigma_data": 0.7}"#, "sigma_data"),
    (#"{"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"}"#, "sigma_data"),
    (#"{"_class_name": "EDMEulerScheduler", "sigma_schedule": "even"}"#, "sigma_schedule"),
    (#"{"_class_name": "EDMEulerScheduler", "sigma_min": 90}"#, "sigma_min"),
    (#"{"_class_name": "EDMEulerScheduler", "rho": 0}"#, "rho"),
    (
      #"{"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": false, "prediction_type": "flow_prediction"}"#,
      "use_flow_sigmas"
    ),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift_terminal": 1.5}"#, "shift_terminal"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": 1}"#, "invert_sigmas"),
    (
      #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true, "time_shift_type": "cubic"}"#,
      "time_shift_type"
    ),
    (
      #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true, "max_image_seq_len": 9}"#,
      "max_image_seq_len"
    ),
    (#"{"_class_name": "DDPMScheduler", "variance_type": "large"}"#, "variance_type"),
    (#"{"_class_name": "DDIMScheduler", "beta_end": 2}"#, "beta_start"),
    (#"{"_class_name": "DDIMScheduler", "beta_end": "x"}"#, "beta_end"),
    (#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 1.5}"#, "num_train_timesteps"),
    (#"{"_class_name": "DDIMScheduler", "timestep_spacing": "even"}"#, "timestep_spacing"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": -1}"#, "shift"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": "yes"}"#, "use_dynamic_shifting"),
  ])
  func unsupportedValuesNameTheirKey(_ json: String, _ key: String) {
    let error = #expect(throws: CheckpointError.self) { try Self.configuration(json) }
    #expect(error?.key == key && error?.kind == .badConfiguration)
  }
}
