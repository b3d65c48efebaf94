import ArgumentParser
import Fewstep
import Foundation

/// The networks of a model folder.
enum NetworkComponent: String, CaseIterable, Encodable, ExpressibleByArgument {
  case unet, vae, text

  var folderName: String { self == .text ? "text_encoder" : rawValue }
}

/// Which network to run, on what and how often: the options that `model` and `forward` share.
struct NetworkOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("Folder of a model in diffusers' layout.", valueName: "dir"))
  var folder: String

  @Option(help: "The network; vae is the decoder, text the prompt's encoder.")
  var component = NetworkComponent.unet

  @Option(help: "Images in a forward pass.")
  var batch = 1

  @Option(help: ArgumentHelp("The picture's side. Default: what the model was trained on.", valueName: "pixels"))
  var size: Int?

  // A default of the option's own would be shown by its long name.
  @Option(name: .customLong("precision"), help: "What weights are kept in and multiplied as. Default: fp32.")
  var chosenPrecision: Precision?
  var precision: Precision { chosenPrecision ?? .float32 }

  @Option(help: "Forward passes, after one that warms up.")
  var rounds = 3

  @OptionGroup var figures: FigureOptions

  func validate() throws {
    try expect("--batch", batch, in: 1...64)
    try size.map { try expect("--size", $0, in: 1...8192) }
    try expect("--rounds", rounds, in: 1...1000)
  }

  func modelFolder() throws -> ModelFolder {
    try ModelFolder(url: URL(filePath: folder, directoryHint: .isDirectory))
  }
}

/// A network and what it runs on.
struct NetworkJob {
  /// Everything that a forward pass does, the prompt's part of the UNet too.
  let forward: () -> DenseTensor<Float>
  let parameters: Int
  let batch: Int
  let description: String

  /// Loads the network.
  ///
  /// - Parameter input: a file with the inputs in diffusers' order and under its names; nil for seeded noise.
  init(_ options: NetworkOptions, input url: URL? = nil) throws {
    let folder = try options.modelFolder()
    let input = try url.map { try SafetensorsFile(url: $0) }
    let weights = try folder.weights(component: options.component.folderName)
    parameters = try weights.names.reduce(0) { $0 + (try weights.entry($1).shape.count) }
    let memory = ActivationMemory<Int>()
    switch options.component {
    case .unet:
      let model = try UNet2DConditionModel(folder, precision: options.precision)
      let (channels, width) = (model.configuration.inChannels, model.configuration.contextWidth)
      let sample = try Self.latents(options, folder, channels: channels, input: input)
      let batch = sample.shape[0]
      let timesteps = try input?.doubles("timestep", shape: [batch]) ?? Array(repeating: 500, count: batch)
      let embeddings = try input.map { try $0.prompts(batch: batch, width: width) } ?? Self.noise([batch, 77, width])
      forward = {
        memory.run(batch) {
          let prompts = (0..<batch).map { model.prepare(embeddings[outer: $0]) }
          return model(sample, timesteps: timesteps, prompts: prompts)
        }
      }
      self.batch = batch
      description = "UNet on \(sample.shape), prompts of \(embeddings.shape[1]) tokens"
    case .vae:
      let model = try AutoencoderKL(folder, precision: options.precision)
      let channels = model.configuration.latentChannels
      let latents = try Self.latents(options, folder, channels: channels, input: input)
      forward = { memory.run(0) { model.decode(latents) } }
      batch = latents.shape[0]
      description = "decoder on \(latents.shape)"
    case .text:
      guard url == nil else { throw ValidationError("--input: the text encoder takes none") }
      let model = try CLIPTextModel(folder, precision: options.precision)
      let ids = Array(
        repeating: (0..<model.maximumLength).map { 7919 * $0 % model.vocabularySize }, count: options.batch)
      forward = { model(ids) }
      batch = options.batch
      description = "text encoder on \(batch) x \(model.maximumLength) tokens"
    }
  }

  private static func latents(
    _ options: NetworkOptions, _ folder: ModelFolder, channels: Int, input: SafetensorsFile?
  ) throws -> DenseTensor<Float> {
    if let input { return try input.latents(channels: channels) }
    let scale = try AutoencoderConfiguration(folder).scale
    let trained = try UNetConfiguration(folder).sampleSize.map { $0.height * scale }
    let size = options.size ?? trained ?? 512
    guard size % scale == 0 else { throw ValidationError("--size \(size): expected a multiple of \(scale)") }
    return noise([options.batch, size / scale, size / scale, channels])
  }

  private static func noise(_ shape: Shape) -> DenseTensor<Float> {
    DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: shape)
  }
}

extension SafetensorsFile {
  /// `sample`, `[images, channels, height, width]`, with the channels last.
  fileprivate func latents(channels: Int) throws(CheckpointError) -> DenseTensor<Float> {
    let shape = try entry("sample").shape
    guard shape.rank == 4, shape.count > 0, shape[1] == channels else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: "sample", found: "shape \(shape)",
        expected: "[images, \(channels), height, width]")
    }
    return DenseTensor(try floats("sample"), shape: shape).channelsLast()
  }

  /// `encoder_hidden_states`, `[images, tokens, width]`.
  fileprivate func prompts(batch: Int, width: Int) throws(CheckpointError) -> DenseTensor<Float> {
    let name = "encoder_hidden_states"
    let shape = try entry(name).shape
    guard shape.rank == 3, shape.count > 0, shape[0] == batch, shape[2] == width else {
      throw CheckpointError(
        .misshapenTensor, file: url, key: name, found: "shape \(shape)", expected: "[\(batch), tokens, \(width)]")
    }
    return DenseTensor(try floats(name), shape: shape)
  }
}
