import CKernels
import Tensors

/// What a convolution or a linear layer reads: floats, or pixels in the format of its weights.
///
/// Made for a certain layer, it takes a half or a quarter of the memory wherever the kernels would round it to that
/// anyway. The layer's output has the same bits.
public struct LayerInput: Sendable {
  /// The last dimension are the channels.
  public private(set) var shape: Shape
  let elements: Elements

  enum Elements: Sendable {
    case floats(DenseStorage<Float>)
    /// The bytes of pixels as the kernels make them for weights of a format.
    case pixels(DenseStorage<Float>, WeightFormat)
  }

  public init(_ tensor: DenseTensor<Float>) {
    self.init(tensor.shape, .floats(tensor.storage))
  }

  private init(_ shape: Shape, _ elements: Elements) {
    self.shape = shape
    self.elements = elements
  }

  /// The same pixels in another shape.
  ///
  /// - Precondition: the shapes count the same, and so do their last dimensions.
  public func reshaped(_ shape: Shape) -> LayerInput {
    precondition(shape.count == self.shape.count && shape[-1] == self.shape[-1], "\(self.shape) is not \(shape)")
    return LayerInput(shape, elements)
  }
}

extension LayerInput {
  /// Makes the input of a layer, or floats where there is none.
  ///
  /// - Parameters:
  ///   - reusable: a tensor of the shape whose memory may be written.
  ///   - body: has rows written, on all threads: it is given what writes them.
  static func make(
    _ shape: Shape, for layer: (weights: PackedWeights, geometry: ConvolutionGeometry)?,
    reusing reusable: DenseTensor<Float>? = nil, _ body: (RowWriter) -> Void
  ) -> LayerInput {
    let channels = shape[-1]
    let bytes = layer.flatMap { $0.weights.pixelBytes($0.geometry, on: shape) }
    guard let bytes, let format = layer?.weights.format else {
      let storage = reusable?.storage ?? DenseStorage<Float>(count: shape.count)
      withExtendedLifetime(storage) {
        body(RowWriter(target: storage.elements.baseAddress!, channels: channels, pixels: nil))
      }
      return LayerInput(shape, .floats(storage))
    }
    let storage = DenseStorage<Float>(count: shape.count / channels * bytes / MemoryLayout<Float>.stride)
    withExtendedLifetime(storage) {
      body(
        RowWriter(
          target: storage.elements.baseAddress!, channels: channels, pixels: (format.kernelFormat, bytes)))
    }
    return LayerInput(shape, .pixels(storage, format))
  }

  /// Writes rows of a layer's input: floats at once, or a few rows of floats at a time that become pixels while they
  /// are in the first-level cache.
  struct RowWriter {
    fileprivate let target: UnsafeMutablePointer<Float>
    fileprivate let channels: Int
    fileprivate let pixels: (format: fs_format, bytes: Int)?

    /// Has `body` write rows of floats to where it is told, for as many calls as it takes.
    func write(_ rows: Range<Int>, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
      guard let pixels else { return body(rows, target + rows.lowerBound * channels) }
      let few = max(1, 4096 / channels)
      let floats = threadScratch(few * channels)
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: few) {
        let part = first..<min(first + few, rows.upperBound)
        body(part, floats)
        fs_convert_pixels(
          pixels.format, UnsafeMutableRawPointer(target) + first * pixels.bytes, floats, Int64(channels),
          Int64(part.count), Int64(channels))
      }
    }
  }
}

extension DenseTensor where Scalar == Float {
  /// The floats of an input that was made for no layer.
  init(_ input: LayerInput) {
    guard case .floats(let storage) = input.elements else { preconditionFailure("pixels are no floats") }
    self.init(storage, shape: input.shape)
  }

  /// A pass over the rows of this tensor, in whose memory floats are written if nobody else has it.
  consuming func rewritten(
    for layer: (weights: PackedWeights, geometry: ConvolutionGeometry)?,
    _ body: (UnsafeMutablePointer<Float>, LayerInput.RowWriter) -> Void
  ) -> LayerInput {
    let isOwn = isKnownUniquelyReferenced(&storage)
    let input = self
    return withExtendedLifetime(input) {
      .make(input.shape, for: layer, reusing: isOwn ? input : nil) { body(input.storage.elements.baseAddress!, $0) }
    }
  }
}

extension PackedWeights {
  /// The bytes of a converted pixel of `[batch, height, width, channels]` or, for a linear layer, `[..., channels]`; nil
  /// where the layer reads floats.
  fileprivate func pixelBytes(_ geometry: ConvolutionGeometry, on shape: Shape) -> Int? {
    let bytes = Int(fs_pixel_bytes(format.kernelFormat, Int64(channels)))
    guard bytes > 0, !LayerComparison.isObserving, kernel == (1, 1) || !usesWinograd(geometry, on: shape) else {
      return nil
    }
    return bytes
  }
}
