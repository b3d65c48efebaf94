import Checkpoints
import DenseTensors
import Networks
import Sampling

/// A choice of everything that trades time for quality, made once and written down.
///
/// A value like any other: its parts can be changed, and presets of one's own made. `bench presets` measures those that
/// are here.
public struct Preset: Hashable, Sendable {
  public var name: String
  /// A name of `SolverCatalogue` or `AdaptiveCatalogue`; nil takes the model's own.
  public var solver: String?
  public var steps: Int
  /// nil is the spacing of the model's scheduler.
  public var spacing: GridSpacing?
  public var guidanceScale: Double
  /// What the networks are loaded with.
  public var precision: Precision
  /// The most images that go through the denoiser side by side.
  public var batchSize: Int

  public init(
    name: String, solver: String? = nil, steps: Int = 20, spacing: GridSpacing? = nil, guidanceScale: Double = 7.5,
    precision: Precision = .float32, batchSize: Int = 8
  ) {
    self.name = name
    self.solver = solver
    self.steps = steps
    self.spacing = spacing
    self.guidanceScale = guidanceScale
    self.precision = precision
    self.batchSize = batchSize
  }

  /// One image as soon as possible: DPM-Solver++ 2M, 10 steps, half precision.
  ///
  /// Karras's grid starts at the most noise and at this number of steps comes nearer to the converged image than the
  /// even grids of schedulers (`bench`, column RMSE). Images go one by one, so that the first does not wait for others.
  public static let realTime = Preset(
    name: "real-time", solver: "dpm++2m", steps: 10, spacing: .karras, precision: .half, batchSize: 1)

  /// For someone who changes a prompt and looks again: 15 steps with weights of 8 bits, a quarter of the memory.
  /// Embeddings of prompts that come again are not computed again.
  public static let interactive = Preset(
    name: "interactive", solver: "dpm++2m", steps: 15, spacing: .karras, precision: .int8, batchSize: 4)

  /// Many prompts at full quality: 30 steps in single precision, images sixteen at a time.
  public static let batch = Preset(
    name: "batch", solver: "dpm++2m", steps: 30, spacing: .karras, batchSize: 16)

  /// The process as it was trained: DDPM, all 1000 steps, single precision. The reference for speed-ups, and no model
  /// of rectified flow can be run with it.
  public static let research = Preset(name: "research", solver: "ddpm", steps: 1000)

  /// From the fastest to the slowest.
  public static let all = [realTime, interactive, batch, research]

  /// The preset of a name, such as `real-time`; nil where there is none.
  public init?(named name: String) {
    guard let preset = Self.all.first(where: { $0.name == name }) else { return nil }
    self = preset
  }
}

extension GenerationRequest {
  /// A request with the choices of a preset, but for those that are given.
  ///
  /// A preset's spacing belongs to its solver: another solver without a spacing has that of the model's scheduler.
  public init(
    _ prompt: String, preset: Preset, negativePrompt: String = "", solver: String? = nil, steps: Int? = nil,
    spacing: GridSpacing? = nil, guidanceScale: Double? = nil, seed: UInt64 = 0, count: Int = 1,
    size: (width: Int, height: Int)? = nil
  ) {
    self.init(
      prompt, negativePrompt: negativePrompt, solver: solver ?? preset.solver, steps: steps ?? preset.steps,
      spacing: spacing ?? (solver == nil ? preset.spacing : nil), guidanceScale: guidanceScale ?? preset.guidanceScale,
      seed: seed, count: count, size: size)
  }
}

extension TextToImagePipeline {
  /// Reads a model in diffusers' layout with the precision of a preset, and takes its batch size.
  ///
  /// - Throws: as ``init(_:precision:)``.
  public init(_ folder: ModelFolder, preset: Preset) throws {
    try self.init(folder, precision: preset.precision)
    batchSize = preset.batchSize
  }
}
