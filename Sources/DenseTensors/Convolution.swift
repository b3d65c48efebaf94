import CKernels
import Tensors

/// How a convolution moves over its picture.
public struct ConvolutionGeometry: Hashable, Sendable {
  /// Rows and columns of zeros around the picture.
  public struct Padding: Hashable, Sendable {
    public var top: Int
    public var left: Int
    public var bottom: Int
    public var right: Int

    public init(top: Int = 0, left: Int = 0, bottom: Int = 0, right: Int = 0) {
      (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
    }

    /// The same on all sides.
    public init(_ all: Int) {
      self.init(top: all, left: all, bottom: all, right: all)
    }
  }

  public var stride: Int
  public var padding: Padding
  /// The side of the square as which each pixel is read: 1, or 2 for nearest-neighbour upsampling.
  public var upsampling: Int

  public init(stride: Int = 1, padding: Padding = Padding(0), upsampling: Int = 1) {
    self.stride = stride
    self.padding = padding
    self.upsampling = upsampling
  }
}

extension DenseTensor where Scalar == Float {
  /// As ``LayerInput/convolved(with:_:imageBias:residual:scale:)``.
  public func convolved(
    with weights: PackedWeights, _ geometry: ConvolutionGeometry = .init(), imageBias: DenseTensor? = nil,
    residual: DenseTensor? = nil, scale: Float = 1
  ) -> DenseTensor {
    LayerComparison.note(self, weights, geometry)
    return LayerInput(self).convolved(
      with: weights, geometry, imageBias: imageBias, residual: residual, scale: scale)
  }

  /// As ``LayerInput/linear(_:residual:)``.
  public func linear(_ weights: PackedWeights, residual: DenseTensor? = nil) -> DenseTensor {
    LayerComparison.note(reshaped([1, 1, shape.count / max(shape[-1], 1), shape[-1]]), weights, .init())
    return LayerInput(self).linear(weights, residual: residual)
  }
}

extension LayerInput {
  /// The convolution of `[batch, height, width, channels]`, with what follows it done in the same pass.
  ///
  /// - Parameters:
  ///   - imageBias: `[batch, outputs]`, added to every pixel of its image.
  ///   - residual: of the output's shape, added to it.
  ///   - scale: what the sum is multiplied with at last.
  /// - Returns: `[batch, height, width, outputs]`.
  /// - Precondition: the shapes fit, and an input that was made for a layer was made for this one.
  public func convolved(
    with weights: PackedWeights, _ geometry: ConvolutionGeometry = .init(), imageBias: DenseTensor<Float>? = nil,
    residual: DenseTensor<Float>? = nil, scale: Float = 1
  ) -> DenseTensor<Float> {
    var operation = fs_convolution(weights, geometry, on: shape)
    let (outHeight, outWidth) = (Int(operation.out_height), Int(operation.out_width))
    let timer = Profile.timer()
    let result = DenseTensor<Float>(uninitialized: [shape[0], outHeight, outWidth, weights.width])
    defer { timer?.stop(weights, geometry, from: shape, to: result.shape) }
    precondition(
      residual.map { $0.shape == result.shape } ?? true, "residual of \(residual!.shape) for \(result.shape)")
    precondition(!weights.isGated || imageBias == nil && residual == nil && scale == 1)
    precondition(!weights.isOutline || ActivationArena.isRehearsing, "an outline's weights have no numbers")
    precondition(imageBias.map { $0.shape == [shape[0], weights.outputs] } ?? true)
    let zeros = DenseStorage<Float>.zeros(atLeast: weights.channels + 2)
    operation.zeros = UnsafePointer(zeros.elements.baseAddress)
    operation.weights = UnsafeRawPointer(weights.packed.elements.baseAddress)
    operation.bias = UnsafePointer(weights.bias?.elements.baseAddress)
    operation.image_bias = UnsafePointer(imageBias?.storage.elements.baseAddress)
    operation.residual = UnsafePointer(residual?.storage.elements.baseAddress)
    operation.scale = scale
    operation.gated = weights.isGated
    operation.output = result.storage.elements.baseAddress
    withExtendedLifetime((self, weights, zeros, imageBias, residual, result)) {
      let (rows, panels) = (shape[0] * outHeight * outWidth, weights.panelCount)
      switch elements {
      case .pixels(let pixels, let format):
        precondition(format == weights.format && !Winograd.pays(for: operation), "an input made for another layer")
        operation.pixels = UnsafeRawPointer(pixels.elements.baseAddress)
        run(operation, rows: rows, panels: panels)
      case .floats(let floats):
        operation.input = UnsafePointer(floats.elements.baseAddress)
        if Winograd.pays(for: operation) {
          Winograd.run(operation, images: shape[0], panels: panels)
        } else {
          run(operation, rows: rows, panels: panels)
        }
      }
    }
    return result
  }

  /// x Wᵀ + bias over the last dimension, as a convolution of pictures one pixel high.
  ///
  /// - Parameter residual: of the output's shape, added to it.
  /// - Precondition: the shapes fit, and an input that was made for a layer was made for this one.
  public func linear(_ weights: PackedWeights, residual: DenseTensor<Float>? = nil) -> DenseTensor<Float> {
    let rows = shape.count / max(shape[-1], 1)
    let outer = Array(shape.dimensions.dropLast())
    return reshaped([1, 1, rows, shape[-1]])
      .convolved(with: weights, residual: residual?.reshaped([1, 1, rows, weights.width]))
      .reshaped(Shape(outer + [weights.width]))
  }

  /// Computes the pieces of the output, from pixels where they are read as such, or by several pieces: each would
  /// convert them again.
  private func run(_ operation: fs_convolution, rows: Int, panels: Int) {
    let pieces = ConvolutionPieces(operation, rows: rows, panels: panels)
    let compute = { (operation: fs_convolution) in
      if ActivationArena.isRehearsing { return }
      pieces.forEach { rows, panels in
        withUnsafePointer(to: operation) {
          fs_convolve(
            $0, Int64(rows.lowerBound), Int64(rows.upperBound), Int64(panels.lowerBound), Int64(panels.upperBound))
        }
      }
    }
    let taps = operation.kernel_height * operation.kernel_width
    let readsFloats = fs_reads_floats(operation.format, operation.channels, taps)
    if operation.pixels != nil || readsFloats && pieces.panelPieces == 1 { return compute(operation) }
    WeightFormat.withPixels(of: operation, count: shape.count / shape[-1], compute)
  }
}

/// How the output of a convolution is split by rows and by panels, so that every thread gets some and memory is read
/// least: each piece reads its pixels and its weights.
private struct ConvolutionPieces {
  let rows: Int
  let panels: Int
  /// Of every piece but the last.
  let rowSize: Int
  let panelSize: Int
  /// Less would cost more than waking a thread.
  let isOne: Bool

  var rowPieces: Int { (rows + rowSize - 1) / rowSize }
  var panelPieces: Int { (panels + panelSize - 1) / panelSize }

  init(_ operation: fs_convolution, rows: Int, panels: Int) {
    (self.rows, self.panels) = (rows, panels)
    let inputs = Int(operation.channels * operation.kernel_height * operation.kernel_width)
    isOne = rows * panels * FS_PANEL * inputs <= 200_000 || ThreadPool.threadCount == 1
    guard !isOne else {
      (rowSize, panelSize) = (max(rows, 1), panels)
      return
    }
    let wanted = 4 * ThreadPool.threadCount
    let grain = Int(fs_tile_rows(operation.format))
    let tiles = (rows + grain - 1) / grain
    let cuts = (1...min(wanted, tiles)).map { parts in
      let rowSize = (tiles + parts - 1) / parts * grain
      let rowPieces = (rows + rowSize - 1) / rowSize
      let panelSize = max(1, panels * rowPieces / wanted)
      let panelPieces = (panels + panelSize - 1) / panelSize
      // In floats: the formats make both sides smaller.
      let traffic = rowPieces * panels * FS_PANEL * inputs + panelPieces * rows * Int(operation.channels)
      return (rowSize: rowSize, panelSize: panelSize, count: rowPieces * panelPieces, traffic: traffic)
    }
    // As many pieces as can be had, up to those wanted.
    let best = cuts.min { (-min($0.count, wanted), $0.traffic) < (-min($1.count, wanted), $1.traffic) }!
    (rowSize, panelSize) = (best.rowSize, best.panelSize)
  }

  func forEach(_ body: (_ rows: Range<Int>, _ panels: Range<Int>) -> Void) {
    if isOne { return body(0..<rows, 0..<panels) }
    ThreadPool.forEach(rowPieces * panelPieces) { task in
      let (row, panel) = (task % rowPieces * rowSize, task / rowPieces * panelSize)
      body(row..<min(row + rowSize, rows), panel..<min(panel + panelSize, panels))
    }
  }
}

extension fs_convolution {
  /// The sizes alone, of pictures `[batch, height, width, channels]`.
  fileprivate init(_ weights: PackedWeights, _ geometry: ConvolutionGeometry, on shape: Shape) {
    precondition(shape.rank == 4 && shape[3] == weights.channels, "\(shape) into \(weights.channels) channels")
    let padding = geometry.padding
    precondition(
      geometry.stride > 0 && (1...2).contains(geometry.upsampling)
        && min(padding.top, padding.left, padding.bottom, padding.right) >= 0, "\(geometry)")
    let spareHeight = shape[1] * geometry.upsampling + padding.top + padding.bottom - weights.kernel.height
    let spareWidth = shape[2] * geometry.upsampling + padding.left + padding.right - weights.kernel.width
    precondition(shape.count == 0 || min(spareHeight, spareWidth) >= 0, "\(shape) is smaller than the kernel")
    self.init()
    input_stride = Int64(weights.channels)
    (height, width, channels) = (Int64(shape[1]), Int64(shape[2]), Int64(weights.channels))
    upsampling = Int64(geometry.upsampling)
    out_height = Int64(spareHeight / geometry.stride + 1)
    out_width = Int64(spareWidth / geometry.stride + 1)
    (kernel_height, kernel_width) = (Int64(weights.kernel.height), Int64(weights.kernel.width))
    stride = Int64(geometry.stride)
    (pad_top, pad_left) = (Int64(padding.top), Int64(padding.left))
    format = weights.format.kernelFormat
    outputs = Int64(weights.outputs)
  }
}

extension PackedWeights {
  /// The memory that Winograd's convolution of `[batch, height, width, channels]` takes beside its input and output, on
  /// all threads; 0 where the convolution is evaluated directly.
  public func winogradBytes(_ geometry: ConvolutionGeometry, on shape: Shape) -> Int {
    guard usesWinograd(geometry, on: shape) else { return 0 }
    return Winograd.scratchBytes(fs_convolution(self, geometry, on: shape), images: shape[0], panels: panelCount)
  }

  /// Whether the convolution of `[batch, height, width, channels]` is Winograd's.
  func usesWinograd(_ geometry: ConvolutionGeometry, on shape: Shape) -> Bool {
    Winograd.pays(for: fs_convolution(self, geometry, on: shape))
  }
}

extension DenseStorage where Scalar == Float {
  private static let manyZeros: DenseStorage = ActivationArena.outside {
    let storage = DenseStorage(count: 8192)
    storage.elements.initialize(repeating: 0)
    return storage
  }

  /// Zeros to read outside a picture.
  fileprivate static func zeros(atLeast count: Int) -> DenseStorage {
    guard count > 8192 else { return manyZeros }
    let storage = DenseStorage(count: count)
    storage.elements.initialize(repeating: 0)
    return storage
  }
}
