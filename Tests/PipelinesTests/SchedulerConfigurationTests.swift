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
    #expect(try Self.configuration(Self.pndm).defaultSolver.name == "dpm++2m")
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

  @Test(arguments: [
    (#"{}"#, "_class_name"), (#"{"_class_name": "DDIMScheduler", "beta_schedule": "laplace"}"#, "beta_schedule"),
    (#"{"_class_name": "DDIMScheduler", "prediction_type": "trigflow"}"#, "prediction_type"),
    (#"{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true}"#, "rescale_betas_zero_snr"),
    (#"{"_class_name": "DDIMScheduler", "thresholding": true}"#, "thresholding"),
    (#"{"_class_name": "DDIMScheduler", "beta_end": 2}"#, "beta_start"),
    (#"{"_class_name": "DDIMScheduler", "beta_end": "x"}"#, "beta_end"),
    (#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 1.5}"#, "num_train_timesteps"),
    (#"{"_class_name": "DDIMScheduler", "timestep_spacing": "even"}"#, "timestep_spacing"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": -1}"#, "shift"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}"#, "use_dynamic_shifting"),
  ])
  func unsupportedValuesNameTheirKey(_ json: String, _ key: String) {
    let error = #expect(throws: CheckpointError.self) { try Self.configuration(json) }
    #expect(error?.key == key && error?.kind == .badConfiguration)
  }
}
