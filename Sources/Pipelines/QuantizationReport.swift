import Checkpoints
import Quantization

/// What quantizing a model ahead of time has done to it.
public struct QuantizationReport: Sendable, Codable {
  /// A layer of the denoiser. Ratios are in decibels; infinite where nothing changed.
  public struct Layer: Sendable, Codable {
    /// As in the checkpoint; layers that run as one are joined by `+`.
    public let name: String
    public let parameters: Int
    /// What it is stored in.
    public let format: String
    /// Of the quantized weights to the original ones.
    public let weightRatio: Double
    /// Of the quantized layer's outputs to the original one's, on the inputs of the calibration.
    public let outputRatio: Double?
    /// What the ratio of the outputs was before the layer was stored as bf16 instead.
    public let refusedRatio: Double?
  }

  public let format: String
  /// Layers whose outputs would fall below this are stored as bf16.
  public let threshold: Double
  public let layers: [Layer]
  /// Bytes of the files of all weights, before and after.
  public let originalBytes: Int
  public let bytes: Int
  /// Of the denoiser's alone.
  public let originalDenoiserBytes: Int
  public let denoiserBytes: Int
  /// Of the images with the same seeds to those of the original model in single precision: over all values, of the
  /// worst image, and the mean structural similarity.
  public let psnr: Double
  public let worstPSNR: Double
  public let ssim: Double
  /// The ratio that was asked for.
  public let requiredPSNR: Double
  public let images: Int

  /// Whether the images are as near as was asked for.
  public var isGood: Bool { psnr >= requiredPSNR }

  public var keptLayers: [Layer] { layers.filter { $0.refusedRatio != nil } }
}

/// A format that does not suit a model: its images are too far from the original's.
public struct QuantizationFailure: Error, CustomStringConvertible {
  public let report: QuantizationReport

  public var description: String {
    let distance = QualityFailure.Reason.distance(psnr: report.psnr, required: report.requiredPSNR)
    return "\(QualityFailure(format: report.format, reason: distance)); nothing was written"
  }
}
