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
  /// What the images must be like, and what they show, in the calibration too.
  public var gate = QualityGate()

  /// - Parameter threshold: nil is 25 dB, and 12 dB for four bits.
  public init(_ format: StorageFormat, threshold: Double? = nil) {
    self.format = format
    self.threshold = threshold ?? (format == .q4 ? 12 : 25)
  }

  /// Writes the quantized model to `url`, where there must be nothing yet. It appears whole or not at all.
  ///
  /// - Throws: ``QuantizationFailure`` where the images are too far from the original's, ``QualityFailure`` where they
  ///   are none; `CheckpointError` and ``PipelineError`` for a model that cannot be read or a folder that cannot be
  ///   written.
  public func quantize(_ folder: ModelFolder, to url: URL) async throws -> QuantizationReport {
    let target = try PartialFolder(for: url)
    let partial = target.url
    let reference = try TextToImagePipeline(folder, precision: .float32)
    let gate = gate(for: reference)
    let bulk = try UNet2DConditionModel(folder, precision: .int8, isOutline: true).layers.filter { $0.format == .int8 }
    let writer = QuantizedFolderWriter(folder: folder, format: format, observer: observer)
    try folder.copy(to: partial, withoutWeightsOf: Set(folder.componentClasses.keys))
    try writer.writeSurroundings(to: partial)
    try writer.writeDenoiser(bulk: bulk, kept: [], to: partial)

    var candidate = try TextToImagePipeline(ModelFolder(url: partial))
    let comparison = try LayerComparison(with: candidate.denoiser.layers)
    let originals = try await comparison.observe { try await gate.images(of: reference) }
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
    let quality = ImageComparison(
      try await gate.images(of: candidate, in: format.rawValue), with: originals)
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
      psnr: quality.psnr, worstPSNR: quality.worstPSNR, ssim: quality.ssim,
      requiredPSNR: gate.requiredPSNR, images: quality.images)
    guard report.isGood else { throw QuantizationFailure(report: report) }
    try target.commit()
    return report
  }

  private func gate(for pipeline: TextToImagePipeline) -> QualityGate {
    var gate = gate
    if gate.template.solver == nil, pipeline.scheduler.family != .flow { gate.template.solver = "dpm++2m" }
    return gate
  }
}
