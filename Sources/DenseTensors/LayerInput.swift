import CKernels
import Tensors

/// What a convolution or a linear layer reads: floats, or pixels in the format of its weights.
///
/// Made for a certain layer, it takes a half or a quarter of the memory wherever the kernels would round it to that
/// anyway. The layer's output has the same bits.
public struct LayerInput: Sendable {
  /// The last dimension are the channels.
  public let shape: Shape
  let elements: Elements

  enum Elements: Sendable {
    case floats(DenseStorage<Float>)
    case pixels(DenseStorage<Float>, PixelLayout)
  }

  public init(_ tensor: DenseTensor<Float>) {
    self.init(tensor.shape, .floats(tensor.storage))
  }

  init(_ shape: Shape, _ elements: Elements) {
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
  /// What an input is made for.
  typealias Layer = (weights: PackedWeights, geometry: ConvolutionGeometry)

  /// Makes the input of a layer, or floats where there is none.
  ///
  /// - Parameters:
  ///   - reusable: a tensor of the shape whose memory may be written.
  ///   - body: has rows written, on all threads: it is given what writes them.
  static func make(
    _ shape: Shape, for layer: Layer?,
    reusing reusable: DenseTensor<Float>? = nil, _ body: (RowWriter) -> Void
  ) -> LayerInput {
    if let layer, let layout = PixelLayout(layer.weights, layer.geometry, on: shape) {
      return LayerInput(shape, .pixels(layout.fill(body), layout))
    }
    let storage = reusable?.storage ?? DenseStorage<Float>(count: shape.count)
    withExtendedLifetime(storage) {
      body(RowWriter(target: storage.elements.baseAddress!, channels: shape[-1], layout: nil))
    }
    return LayerInput(shape, .floats(storage))
  }

  /// Writes rows of a layer's input.
  struct RowWriter {
    let target: UnsafeMutablePointer<Float>
    let channels: Int
    let layout: PixelLayout?

    /// Has `body` write rows of floats to where it is told, for as many calls as it takes: all at once, or a few at a
    /// time that become pixels while they are in the first-level cache.
    func write(_ rows: Range<Int>, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
      guard let layout else { return body(rows, target + rows.lowerBound * channels) }
      let few = max(1, 4096 / channels)
      let floats = threadScratch(few * channels)
      layout.forEachRun(of: rows, atMost: few) { part in
        body(part, floats)
        layout.convert(part, from: floats, to: target)
      }
    }

    /// Writes rows of `input`, each channel times its factor plus its summand, then SiLU where asked for.
    ///
    /// - Parameter scales: the factors, then the summands.
    func writeScaled(
      _ rows: Range<Int>, of input: UnsafePointer<Float>, by scales: UnsafePointer<Float>, silu: Bool
    ) {
      write(rows) { part, output in
        fs_scale_shift(
          output, input + part.lowerBound * channels, scales, scales + channels, Int64(part.count), Int64(channels),
          silu)
      }
    }

    /// Converts rows of floats that lie one after another, the first of all at `floats`.
    func convert(_ rows: Range<Int>, from floats: UnsafePointer<Float>) {
      layout!.forEachRun(of: rows, atMost: rows.count) {
        layout!.convert($0, from: floats + $0.lowerBound * channels, to: target)
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
    for layer: LayerInput.Layer?,
    _ body: (UnsafeMutablePointer<Float>, LayerInput.RowWriter) -> Void
  ) -> LayerInput {
    let isOwn = isKnownUniquelyReferenced(&storage)
    let input = self
    return withExtendedLifetime(input) {
      .make(input.shape, for: layer, reusing: isOwn ? input : nil) { body(input.storage.elements.baseAddress!, $0) }
    }
  }
}
