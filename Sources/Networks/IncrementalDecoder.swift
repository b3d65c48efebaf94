import DenseTensors
import Tensors

/// Decodes latents that change little by little, as in live editing: only around what changed since the last decode.
///
/// **An approximation**, since a decoder's group norms and its attention see all of a picture. Around a change this is
/// what a decoder gives, up to rounding, whose norms after the middle block are frozen at what they did in the last
/// full decode; the middle block, attention included, is computed anew and in full. Further away the pixels stay as
/// they are. The first decode is full and exact, and so is every one after ``reset()``; nothing changed, nothing
/// computed. Decode in full when an edit is finished.
public struct IncrementalDecoder: Sendable {
  /// How far around a change pixels are decoded anew, in latents.
  public var margin = 4
  /// How many pixels the last decode computed.
  public private(set) var decodedPixels = 0
  /// Where they lie; nil for none.
  public private(set) var window: PixelWindow?

  private let autoencoder: AutoencoderKL
  private var newest: Newest?

  private struct Newest {
    var latents: DenseTensor<Float>
    var pixels: DenseTensor<Float>
    var norms: [String: FrozenNorm]
  }

  public init(_ autoencoder: AutoencoderKL) {
    self.autoencoder = autoencoder
  }

  /// Makes the next decode a full one.
  public mutating func reset() { newest = nil }

  /// The image of a latent as the denoiser leaves it, scaled.
  ///
  /// - Parameter latents: `[1, height, width, latentChannels]`; another size than before is decoded in full.
  /// - Returns: `[1, height × scale, width × scale, channels]`, in [-1, 1] and a little beyond.
  /// - Precondition: the shape fits.
  public mutating func decode(scaled latents: DenseTensor<Float>) -> DenseTensor<Float> {
    precondition(latents.shape.rank == 4 && latents.shape[0] == 1)
    guard var newest, newest.latents.shape == latents.shape else { return decodeInFull(latents) }
    guard let changed = latents.window(differingFrom: newest.latents) else {
      (window, decodedPixels) = (nil, 0)
      return newest.pixels
    }
    let scale = autoencoder.configuration.scale
    let bounds = PixelWindow(rows: 0..<latents.shape[1], columns: 0..<latents.shape[2])
    let wanted = changed.expanded(by: max(margin, 0), aligned: 1, in: bounds).scaled(by: scale)
    let decoded = autoencoder.decodeFrozen(scaled: latents, window: wanted, norms: newest.norms)
    newest.pixels.replace(wanted, with: decoded)
    newest.latents = latents
    self.newest = newest
    (window, decodedPixels) = (wanted, wanted.count)
    return newest.pixels
  }

  private mutating func decodeInFull(_ latents: DenseTensor<Float>) -> DenseTensor<Float> {
    let history = NormHistory()
    let pixels = autoencoder.decode(scaled: latents, noting: history)
    newest = Newest(latents: latents, pixels: pixels, norms: history.norms)
    window = PixelWindow(rows: 0..<pixels.shape[1], columns: 0..<pixels.shape[2])
    decodedPixels = pixels.shape[1] * pixels.shape[2]
    return pixels
  }
}

/// What norms did, by their names: noted as they are used, or used as they were noted.
final class NormHistory {
  var norms: [String: FrozenNorm]
  let isFrozen: Bool

  init() { (norms, isFrozen) = ([:], false) }

  init(frozen norms: [String: FrozenNorm]) { (self.norms, isFrozen) = (norms, true) }
}

extension DenseTensor<Float> {
  /// The smallest window that holds all pixels whose bits differ, of two tensors of one shape; nil for none.
  func window(differingFrom other: DenseTensor) -> PixelWindow? {
    let (height, width, channels) = (shape[1], shape[2], shape[3])
    var (rows, columns) = ((least: height, most: -1), (least: width, most: -1))
    withUnsafeBufferPointer { own in
      other.withUnsafeBufferPointer { other in
        for pixel in 0..<height * width {
          let range = pixel * channels..<(pixel + 1) * channels
          guard range.contains(where: { own[$0].bitPattern != other[$0].bitPattern }) else { continue }
          rows = (min(rows.least, pixel / width), max(rows.most, pixel / width))
          columns = (min(columns.least, pixel % width), max(columns.most, pixel % width))
        }
      }
    }
    return rows.most < 0
      ? nil : PixelWindow(rows: rows.least..<rows.most + 1, columns: columns.least..<columns.most + 1)
  }
}

extension PixelWindow {
  /// A window of pixels more on every side, from multiples of `alignment` to such, inside `bounds`, which begin at 0.
  func expanded(by count: Int, aligned alignment: Int, in bounds: PixelWindow) -> PixelWindow {
    func expanded(_ range: Range<Int>, _ bound: Range<Int>) -> Range<Int> {
      let start = max(range.lowerBound - count, 0) / alignment * alignment
      let end = (range.upperBound + count + alignment - 1) / alignment * alignment
      return start..<min(end, bound.upperBound)
    }
    return PixelWindow(rows: expanded(rows, bounds.rows), columns: expanded(columns, bounds.columns))
  }

  /// The same pixels where each is so many along a side.
  func scaled(by factor: Int) -> PixelWindow {
    PixelWindow(
      rows: rows.lowerBound * factor..<rows.upperBound * factor,
      columns: columns.lowerBound * factor..<columns.upperBound * factor)
  }

  /// The pixels of half the resolution that have a share in these.
  var halved: PixelWindow {
    PixelWindow(
      rows: rows.lowerBound / 2..<(rows.upperBound + 1) / 2,
      columns: columns.lowerBound / 2..<(columns.upperBound + 1) / 2)
  }

  /// The same pixels as they are counted inside another window.
  func within(_ other: PixelWindow) -> PixelWindow {
    PixelWindow(
      rows: rows.lowerBound - other.rows.lowerBound..<rows.upperBound - other.rows.lowerBound,
      columns: columns.lowerBound - other.columns.lowerBound..<columns.upperBound - other.columns.lowerBound)
  }
}
