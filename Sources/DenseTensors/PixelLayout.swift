import CKernels
import Tensors

/// How the kernels of a layer want pixels that are rounded to the format of its weights: pictures one after another,
/// each with a margin of zeros.
struct PixelLayout: Hashable, Sendable {
  let format: WeightFormat
  let channels: Int
  let margin: Int
  /// From one pixel to the next.
  private let bytes: Int
  private let pictures: Int
  private let height: Int
  private let width: Int

  /// The layout for `[batch, height, width, channels]` or, for a linear layer, `[..., channels]`; nil where the layer
  /// had better be given floats.
  init?(_ weights: PackedWeights, _ geometry: ConvolutionGeometry, on shape: Shape) {
    guard !LayerComparison.isObserving else { return nil }
    if weights.kernel == (1, 1) {
      self.init(weights, pictures: 1, height: 1, width: shape.count / max(shape[-1], 1), margin: 0)
    } else {
      let operation = fs_convolution(weights, geometry, on: shape)
      guard !Winograd.pays(for: operation) else { return nil }
      self.init(operation, of: weights, pictures: shape[0])
    }
  }

  /// The layout for a convolution of so many pictures; nil where its kernels have none.
  init?(_ operation: fs_convolution, of weights: PackedWeights, pictures: Int) {
    let margin = withUnsafePointer(to: operation) { Int(fs_pixel_margin($0)) }
    self.init(
      weights, pictures: pictures, height: Int(operation.height), width: Int(operation.width), margin: margin)
  }

  private init?(_ weights: PackedWeights, pictures: Int, height: Int, width: Int, margin: Int) {
    bytes = Int(fs_pixel_bytes(weights.format.kernelFormat, Int64(weights.channels)))
    guard bytes > 0 else { return nil }
    (format, channels) = (weights.format, weights.channels)
    (self.pictures, self.height, self.width, self.margin) = (pictures, height, width, margin)
  }

  /// New memory, whose rows `body` is to have written.
  func fill(_ body: (LayerInput.RowWriter) -> Void) -> DenseStorage<Float> {
    let pixels = pictures * (height + 2 * margin) * (width + 2 * margin)
    let storage = DenseStorage<Float>(count: pixels * bytes / MemoryLayout<Float>.stride)
    withExtendedLifetime(storage) {
      if margin > 0, !ActivationArena.isRehearsing { clearMargins(of: storage.elements.baseAddress!) }
      body(LayerInput.RowWriter(target: storage.elements.baseAddress!, channels: channels, layout: self))
    }
    return storage
  }

  /// From the first row's first pixel to the last row's last, all that lies between pictures and their rows.
  private func clearMargins(of target: UnsafeMutablePointer<Float>) {
    var end = 0
    func clear(upTo next: Int) {
      (UnsafeMutableRawPointer(target) + end * bytes)
        .initializeMemory(as: UInt8.self, repeating: 0, count: (next - end) * bytes)
      end = next + width
    }
    for row in 0..<pictures * height { clear(upTo: index(of: row * width)) }
    clear(upTo: pictures * (height + 2 * margin) * (width + 2 * margin))
  }

  /// The place of a pixel that is counted through all pictures.
  private func index(of pixel: Int) -> Int {
    if margin == 0 { return pixel }
    let (row, x) = pixel.quotientAndRemainder(dividingBy: width)
    let (picture, y) = row.quotientAndRemainder(dividingBy: height)
    return (picture * (height + 2 * margin) + y + margin) * (width + 2 * margin) + x + margin
  }

  /// Cuts a range of pixels where they do not lie one after another.
  func forEachRun(of pixels: Range<Int>, atMost count: Int, _ body: (Range<Int>) -> Void) {
    var first = pixels.lowerBound
    while first < pixels.upperBound {
      var end = min(first + count, pixels.upperBound)
      if margin > 0 { end = min(end, (first / width + 1) * width) }
      body(first..<end)
      first = end
    }
  }

  /// Converts a run of pixels, which `floats` has one after another.
  func convert(
    _ run: Range<Int>, from floats: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>
  ) {
    fs_convert_pixels(
      format.kernelFormat, UnsafeMutableRawPointer(target) + index(of: run.lowerBound) * bytes, floats,
      Int64(channels), Int64(run.count), Int64(channels))
  }
}
