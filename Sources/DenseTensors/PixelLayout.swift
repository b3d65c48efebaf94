import CKernels
import Tensors

/// How the kernels of a layer want pixels that are rounded to the format of its weights: pictures one after another,
/// each with a margin of zeros; upsampled ones as they are seen, where kernels then read them in place.
struct PixelLayout: Hashable, Sendable {
  let format: WeightFormat
  private let channels: Int
  private let margin: Int
  /// From one pixel to the next.
  private let bytes: Int
  private let pictures: Int
  /// Of a picture without its margin.
  private let height: Int
  private let width: Int
  /// The side of the square as which each pixel is stored.
  private let scale: Int

  /// The layout for `[batch, height, width, channels]` or, for a linear layer, `[..., channels]`; nil where the layer
  /// had better be given floats.
  init?(_ weights: PackedWeights, _ geometry: ConvolutionGeometry, on shape: Shape) {
    guard !LayerComparison.isObserving else { return nil }
    if weights.kernel == (1, 1) {
      self.init(weights, pictures: 1, height: 1, width: shape.count / max(shape[-1], 1), scale: 1, margin: 0)
    } else {
      let operation = fs_convolution(weights, geometry, on: shape)
      guard !Winograd.pays(for: operation) else { return nil }
      self.init(operation, of: weights, pictures: shape[0])
    }
  }

  /// The layout for a convolution of so many pictures; nil where its kernels have none.
  init?(_ operation: fs_convolution, of weights: PackedWeights, pictures: Int) {
    var upsampled = operation
    upsampled.upsample()
    let isUpsampled = fs_pixel_margin(&upsampled) > 0
    var stored = isUpsampled ? upsampled : operation
    self.init(
      weights, pictures: pictures, height: Int(stored.height), width: Int(stored.width),
      scale: isUpsampled ? Int(operation.upsampling) : 1, margin: Int(fs_pixel_margin(&stored)))
  }

  private init?(_ weights: PackedWeights, pictures: Int, height: Int, width: Int, scale: Int, margin: Int) {
    bytes = Int(fs_pixel_bytes(weights.format.kernelFormat, Int64(weights.channels)))
    guard bytes > 0 else { return nil }
    (format, channels) = (weights.format, weights.channels)
    (self.pictures, self.height, self.width) = (pictures, height, width)
    (self.scale, self.margin) = (scale, margin)
  }

  /// Has an operation read pixels of this layout.
  func set(_ pixels: DenseStorage<Float>, in operation: inout fs_convolution) {
    if scale > 1 { operation.upsample() }
    operation.pixels = UnsafeRawPointer(pixels.elements.baseAddress)
    operation.margin = Int64(margin)
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
    for row in 0..<pictures * height { clear(upTo: place(row: row, x: 0)) }
    clear(upTo: pictures * (height + 2 * margin) * (width + 2 * margin))
  }

  /// The place of a stored pixel, whose row is counted through all pictures.
  private func place(row: Int, x: Int) -> Int {
    let (picture, y) = row.quotientAndRemainder(dividingBy: height)
    return (picture * (height + 2 * margin) + y + margin) * (width + 2 * margin) + x + margin
  }

  /// Cuts a range of pixels, counted through all pictures, where they do not lie one after another.
  func forEachRun(of pixels: Range<Int>, atMost count: Int, _ body: (Range<Int>) -> Void) {
    var first = pixels.lowerBound
    while first < pixels.upperBound {
      var end = min(first + count, pixels.upperBound)
      if margin > 0 { end = min(end, (first / (width / scale) + 1) * (width / scale)) }
      body(first..<end)
      first = end
    }
  }

  /// Converts a run of pixels, which `floats` has one after another.
  func convert(_ run: Range<Int>, from floats: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>) {
    let (row, x) = run.lowerBound.quotientAndRemainder(dividingBy: width / scale)
    let first = UnsafeMutableRawPointer(target) + place(row: row * scale, x: x * scale) * bytes
    func convert(_ count: Int, from floats: UnsafePointer<Float>, to pixels: UnsafeMutableRawPointer) {
      fs_convert_pixels(format.kernelFormat, pixels, floats, Int64(channels), Int64(count), Int64(channels))
    }
    guard scale > 1 else { return convert(run.count, from: floats, to: first) }
    for index in 0..<run.count {
      let pixel = first + index * scale * bytes
      convert(1, from: floats + index * channels, to: pixel)
      for copy in 1..<scale { (pixel + copy * bytes).copyMemory(from: pixel, byteCount: bytes) }
    }
    for copy in 1..<scale {
      (first + copy * (width + 2 * margin) * bytes).copyMemory(from: first, byteCount: run.count * scale * bytes)
    }
  }
}

extension fs_convolution {
  /// Reads pictures that are upsampled already.
  fileprivate mutating func upsample() {
    (height, width, upsampling) = (height * upsampling, width * upsampling, 1)
  }
}
