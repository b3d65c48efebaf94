import Checkpoints
import DenseTensors
import Foundation
import Networks
import Quantization
import Sampling
import Tensors

/// Stores a model in fewer bits, and measures what that does to it.
///
/// The denoiser's layers are compared one by one on the inputs that they meet along whole trajectories, from noise to
/// image; those that lose too much are stored as bf16. The first and the last convolution, the time embedding and the
/// networks beside the denoiser are halves. Vectors are halves where that is exact.
public struct ModelQuantizer: Sendable {
  public var format: StorageFormat
  /// What finds the steps of 8-bit levels.
  public var observer: RangeObserver = .meanSquaredError
  /// Decibels of a layer's outputs, below which it is stored as bf16.
  public var threshold: Double
  /// Decibels that images must have.
  public var requiredPSNR = 20.0
  /// What the calibration shows and the images are compared on.
  public var prompts = [
    "a bold red letter A on a white background, serif", "a yellow digit 7 on a purple background, sans",
    "a photograph of a lighthouse at dusk", "a watercolour of a fox in the snow",
  ]
  public var steps = 10
  public var guidanceScale = 7.5
  public var seed: UInt64 = 0

  /// - Parameter threshold: nil is 25 dB, and 12 dB for four bits.
  public init(_ format: StorageFormat, threshold: Double? = nil) {
    self.format = format
    self.threshold = threshold ?? (format == .q4 ? 12 : 25)
  }

  /// Writes the quantized model to `url`, where there must be nothing yet. It appears whole or not at all.
  ///
  /// - Throws: ``QuantizationFailure`` where the images are too far from the original's; `CheckpointError` and
  ///   ``PipelineError`` for a model that cannot be read or a folder that cannot be written.
  public func quantize(_ folder: ModelFolder, to url: URL) async throws -> QuantizationReport {
    guard !FileManager.default.fileExists(atPath: url.path) else {
      throw CheckpointError(.unwritableFile, file: url, found: "something there", expected: "a new folder")
    }
    let reference = try TextToImagePipeline(folder, precision: .float32)
    let bulk = try UNet2DConditionModel(folder, precision: .int8).layers.filter { $0.format == .int8 }
    let writer = QuantizedFolderWriter(folder: folder, format: format, observer: observer)
    let partial = url.deletingLastPathComponent()
      .appending(path: ".\(UUID().uuidString).partial", directoryHint: .isDirectory)
    defer { try? FileManager.default.removeItem(at: partial) }
    try writer.copyConfiguration(to: partial)
    try writer.writeSurroundings(to: partial)
    try writer.writeDenoiser(bulk: bulk, kept: [], to: partial)

    var candidate = try TextToImagePipeline(ModelFolder(url: partial))
    let comparison = LayerComparison(with: candidate.denoiser.layers)
    let originals = try await comparison.observe { try await generate(with: reference) }
    let sums = comparison.sums
    func ratio(_ layer: PackedWeights) -> Double? {
      sums[layer.name].map { decibels(signal: $0.signal, noise: $0.noise) }
    }
    let isFewBits = format != .float16 && format != .bfloat16
    // A ratio that is not a number is no good either.
    let kept = bulk.filter { layer in isFewBits && ratio(layer).map { !($0 >= threshold) } ?? false }
    if !kept.isEmpty {
      try writer.writeDenoiser(bulk: bulk, kept: Set(kept.map(\.name)), to: partial)
      candidate = try TextToImagePipeline(ModelFolder(url: partial))
    }
    let images = try await generate(with: candidate)
    let ratios = zip(images, originals).map { $0.psnr(to: $1) }
    let errors = ratios.map { pow(10, -$0 / 10) }
    let stored = try WeightStore(folder: partial.appending(path: "unet"))
    let report = QuantizationReport(
      format: format.rawValue, threshold: threshold,
      layers: try candidate.denoiser.layers.map { layer in
        let isKept = kept.contains { $0.name == layer.name }
        return QuantizationReport.Layer(
          name: layer.name, parameters: layer.outputs * layer.channels * layer.kernel.height * layer.kernel.width,
          format: try writer.storedType(of: layer, in: stored),
          weightRatio: try writer.weightRatio(of: layer, in: stored), outputRatio: isKept ? nil : ratio(layer),
          refusedRatio: isKept ? ratio(layer) : nil)
      },
      originalBytes: try writer.weightBytes(of: folder), bytes: try writer.weightBytes(of: ModelFolder(url: partial)),
      originalDenoiserBytes: try writer.weightBytes(of: folder, components: ["unet"]),
      denoiserBytes: try writer.weightBytes(of: ModelFolder(url: partial), components: ["unet"]),
      psnr: -10 * log10(errors.reduce(0, +) / Double(errors.count)), worstPSNR: ratios.min() ?? .infinity,
      ssim: zip(images, originals).map { $0.ssim(to: $1) }.reduce(0, +) / Double(images.count),
      requiredPSNR: requiredPSNR, images: images.count)
    guard report.isGood else { throw QuantizationFailure(report: report) }
    do {
      try FileManager.default.moveItem(at: partial, to: url)
    } catch {
      throw CheckpointError(.unwritableFile, file: url, found: "\(error)", expected: "a folder that can be written to")
    }
    return report
  }

  /// An image of each prompt, each with a seed of its own.
  private func generate(with pipeline: TextToImagePipeline) async throws -> [Image] {
    var images: [Image] = []
    for (index, prompt) in prompts.enumerated() {
      let request = GenerationRequest(
        prompt, solver: pipeline.scheduler.family == .flow ? nil : "dpm++2m", steps: steps,
        guidanceScale: guidanceScale,
        seed: seed &+ UInt64(index))
      images += try await pipeline.generate(request).map(\.image)
    }
    return images
  }
}
