import Checkpoints
import Sampling

/// What a model's scheduler_config.json says of its noise path, its prediction and its grid.
///
/// It does not bind a model to one sampler: any solver of its family can be used, and takes from here what its
/// counterpart in diffusers would. Where diffusers is known to be wrong, it does not: the model is told exact times.
public struct SchedulerConfiguration: Sendable {
  /// diffusers' class, such as `DDIMScheduler`.
  public let className: String
  public let family: SolverEntry.Family
  /// The noise path; that of an image of the base size, where the shift depends on the size.
  public let path: any NoisePath
  public let prediction: Prediction
  /// How the shift of a flow follows the image's size, if it does.
  public let dynamicShift: DynamicShift?

  /// One of the timestep spacings; nil is the solver's own.
  private let spacing: GridSpacing?
  /// One of the spacings of noise levels, which come before it.
  private let levelSpacing: GridSpacing?
  private let options: GridOptions
  /// How the model is told the time, where not by the path's timestep.
  private let conditioning: TimeConditioning?
  private let bound: Bound
  private let variance: DDPM.Variance
  /// Of a latent consistency model.
  private let timestepScaling: Double

  /// How predictions of the clean image are kept in range, and for which solvers.
  private enum Bound {
    case none
    /// For those that clip.
    case clip(limit: Double)
    /// For all.
    case threshold(SampleBound)
  }

  /// Reads scheduler/scheduler_config.json.
  ///
  /// - Throws: `CheckpointError` naming the key whose value is malformed, not supported, or in conflict with another's.
  public init(_ folder: ModelFolder) throws(CheckpointError) {
    let reader = SchedulerReader(
      try ConfigurationReader(folder, component: "scheduler", file: "scheduler_config.json"))
    className = try reader.values.string("_class_name")
    let kind = SchedulerReader.Kind(className: className, usesFlow: try reader.usesFlow())
    let trained = try reader.values.count("num_train_timesteps", default: 1000)
    family = kind == .flow ? .flow : .diffusion
    prediction = try reader.prediction(kind)
    dynamicShift = kind == .flow ? try reader.dynamicShift() : nil
    levelSpacing = try reader.levelSpacing(kind)
    var conditioning = try reader.conditioning(kind, trained: trained)
    switch kind {
    case .flow: path = try reader.flow(dynamicShift, isFlowMatch: className.hasPrefix("FlowM"), trained: trained)
    case .exploding: path = try reader.exploding(trained: trained)
    case .preserving:
      let preserving = try reader.variancePreserving(className, trained: trained)
      if conditioning == .quarterLog, levelSpacing != nil {
        // Levels may lie beyond what the betas reach, which is no more than a default here.
        path = try reader.exploding(
          trained: trained, from: preserving.point(at: 0).noiseToSignal, to: preserving.noisiest.noiseToSignal)
        conditioning = nil
      } else {
        path = preserving
      }
    }
    self.conditioning = conditioning
    spacing = try reader.spacing(kind)
    options = try reader.options(kind, isOfLevels: levelSpacing != nil)
    variance = try reader.variance()
    timestepScaling = try reader.positive("timestep_scaling", default: 10)
    if let threshold = try reader.threshold() {
      bound = .threshold(threshold)
    } else if kind == .preserving,
      try reader.values.flag("clip_sample", default: className.hasPrefix("DDPM") || className.hasPrefix("DDIM"))
    {
      bound = .clip(limit: try reader.positive("clip_sample_range", default: 1))
    } else {
      bound = .none
    }
  }

  /// The solver that stands for the scheduler's class, or the usual one of its family where there is none.
  public var defaultSolver: SolverEntry {
    let names = [className, family == .flow ? "flow-euler" : "dpm++2m"]
    let entries = names.compactMap { try? SolverCatalogue.entry(named: $0) }
    return entries.first { $0.families.contains(family) } ?? SolverCatalogue.all[0]
  }

  /// The noise path of an image of so many tokens; of any, where the path does not depend on it.
  ///
  /// - Throws: `SamplingError` for a number of tokens that is not positive, or for which the shift is not.
  public func path(imageTokens: Int) throws(SamplingError) -> any NoisePath {
    guard let dynamicShift else { return path }
    return try RectifiedFlow(
      shift: dynamicShift.shift(tokens: imageTokens), trainingTimesteps: path.trainingTimesteps)
  }

  /// The plan of a solver on this model.
  ///
  /// - Parameters:
  ///   - spacing: nil takes the configuration's.
  ///   - start: where image-to-image generation begins; nil is the noisiest point.
  ///   - shift: of a flow's grid, in the place of the configuration's.
  ///   - imageTokens: the size of the image, for a dynamic shift; nil is the size of the base shift.
  /// - Throws: `SamplingError` where the solver is of another family, the grid does not fit, or the path has no shift.
  public func plan(
    _ solver: SolverEntry, steps: Int, spacing: GridSpacing? = nil, start: GridStart? = nil, shift: Double? = nil,
    imageTokens: Int? = nil
  ) throws(SamplingError) -> SamplingPlan {
    guard solver.families.contains(family) else {
      let sampled = solver.families.map(\.rawValue).sorted().joined(separator: " and ")
      throw .incompatible(
        solver: solver.name, reason: "it samples \(sampled) models, and this one's scheduler is \(className)")
    }
    var path = path
    if let shift {
      guard let flow = path as? RectifiedFlow else {
        throw .invalidOption(name: "the shift", found: "\(shift)", expected: "none: \(className) is no flow's")
      }
      path = try RectifiedFlow(
        shift: shift, repeatsShift: flow.repeatsShift, trainingTimesteps: flow.trainingTimesteps)
    } else if let imageTokens {
      path = try self.path(imageTokens: imageTokens)
    }
    let own = solver.conventions.hasFixedSpacing ? nil : self.spacing
    // Distilled models know the timesteps of their distillation only.
    let levels = solver.conventions.spacing == .distilled ? nil : levelSpacing
    let chosen = spacing ?? levels ?? own ?? solver.conventions.spacing
    var options = options
    options.start = start
    // What the configuration says of its own spacing does not belong to another.
    if chosen != levelSpacing { (options.rho, options.levels) = (nil, nil) }
    let points = try chosen.points(steps: steps, for: solver.conventions, on: path, options: options)
    let plan = try SamplingPlan(
      made(solver, steps: steps), at: points, on: path, prediction: prediction, bound: bound(for: solver))
    return conditioning.map(plan.telling) ?? plan
  }

  /// The entry's solver, with what the configuration says of DDPM's variance and of LCM's scaling.
  private func made(_ entry: SolverEntry, steps: Int) throws(SamplingError) -> any Solver {
    let solver = try entry.make(steps)
    switch solver {
    case is DDPM: return DDPM(variance: variance)
    case let steps as ConsistencySteps where steps.scaling == .latentConsistency:
      return ConsistencySteps(.latent(timestepScaling: timestepScaling, deviation: 0.5), name: steps.name)
    default: return solver
    }
  }

  /// The adaptive sampler of a pair on this model.
  ///
  /// - Parameters:
  ///   - tolerance: the relative error to keep to.
  ///   - maximumEvaluations: of an image and branch.
  ///   - start: where image-to-image generation begins; nil is the noisiest point.
  /// - Throws: `SamplingError` where the pair is of another family, an option is impossible, or the model is told other
  ///   times than the path's.
  public func adaptiveSampler(
    _ entry: AdaptiveEntry, tolerance: Double, maximumEvaluations: Int, start: GridStart? = nil
  ) throws(SamplingError) -> AdaptiveSampler {
    guard entry.family == family else {
      throw .incompatible(
        solver: entry.name,
        reason: "it samples \(entry.family.rawValue) models, and this one's scheduler is \(className)")
    }
    guard conditioning == nil else {
      throw .incompatible(solver: entry.name, reason: "the model is told other times than those of its noise path")
    }
    let path: any NoisePath = path
    var first: TimePoint?
    if let start { first = try start.point(on: path) }
    return try AdaptiveSampler(
      entry.pair, on: path, tolerance: ErrorTolerance(relative: tolerance), budget: maximumEvaluations,
      prediction: prediction, bound: bound(clipping: true), from: first)
  }

  private func bound(for solver: SolverEntry) -> SampleBound? { bound(clipping: solver.conventions.clipsSamples) }

  private func bound(clipping: Bool) -> SampleBound? {
    switch bound {
    case .none: nil
    case .clip(let limit): clipping ? .clip(limit: limit) : nil
    case .threshold(let threshold): threshold
    }
  }
}
