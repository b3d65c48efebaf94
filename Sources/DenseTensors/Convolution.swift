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
    LayerInput(self).convolved(with: weights, geometry, imageBias: imageBias, residual: residual, scale: scale)
  }

  /// As ``LayerInput/linear(_:residual:)``.
  public func linear(_ weights: PackedWeights, residual: DenseTensor? = nil) -> DenseTensor {
    LayerInput(self).linear(weights, residual: residual)
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
    let operation = fs_convolution(weights, geometry, on: shape)
    let result = DenseTensor<Float>(
      uninitialized: [shape[0], Int(operation.out_height), Int(operation.out_width), weights.width])
    precondition(
      residual.map { $0.shape == result.shape } ?? true, "residual of \(residual!.shape) for \(result.shape)")
    precondition(!weights.isGated || imageBias == nil && residual == nil && scale == 1)
    precondition(imageBias.map { $0.shape == [shape[0], weights.outputs] } ?? true)
    withExtendedLifetime((imageBias, residual, result)) {
      convolve(operation, weights, geometry) {
        $0.image_bias = UnsafePointer(imageBias?.storage.elements.baseAddress)
        $0.residual = UnsafePointer(residual?.storage.elements.baseAddress)
        $0.scale = scale
        $0.output = result.storage.elements.baseAddress
      }
    }
    return result
  }

  /// A gated linear layer, with its output as the layer after it reads it.
  ///
  /// - Precondition: the weights are gated and fit, and an input that was made for a layer was made for this one.
  public func gatedLinear(_ weights: PackedWeights, for next: PackedWeights) -> LayerInput {
    let output = Shape(Array(shape.dimensions.dropLast()) + [weights.width])
    // Pixels of int8 are known when all of a row is.
    guard weights.isGated, let layout = PixelLayout(next, .init(), on: output), layout.format == .bfloat16 else {
      return LayerInput(linear(weights))
    }
    return LayerInput(
      output,
      .pixels(
        layout.fill { writer in
          let input = flattened
          input.convolve(fs_convolution(weights, .init(), on: input.shape), weights, .init()) {
            $0.output_pixels = UnsafeMutableRawPointer(writer.target)
          }
        }, layout))
  }

  /// Computes an operation of given sizes, whose input is this one; `addOutput` says where to and what is added.
  private func convolve(
    _ sizes: fs_convolution, _ weights: PackedWeights, _ geometry: ConvolutionGeometry,
    _ addOutput: (inout fs_convolution) -> Void
  ) {
    if LayerComparison.isObserving { LayerComparison.note(DenseTensor(self), weights, geometry) }
    let timer = Profile.timer()
    let (outHeight, outWidth) = (Int(sizes.out_height), Int(sizes.out_width))
    defer { timer?.stop(weights, geometry, from: shape, to: [shape[0], outHeight, outWidth, weights.width]) }
    precondition(!weights.isOutline || ActivationArena.isRehearsing, "an outline's weights have no numbers")
    var operation = sizes
    let zeros = DenseStorage<Float>.zeros(atLeast: weights.channels + 2)
    operation.zeros = UnsafePointer(zeros.elements.baseAddress)
    operation.weights = UnsafeRawPointer(weights.packed.elements.baseAddress)
    operation.bias = UnsafePointer(weights.bias?.elements.baseAddress)
    operation.scale = 1
    operation.gated = weights.isGated
    addOutput(&operation)
    let rows = shape[0] * outHeight * outWidth
    withExtendedLifetime((self, weights, zeros)) {
      switch elements {
      case .pixels(let pixels, let layout):
        precondition(layout == PixelLayout(weights, geometry, on: shape), "an input made for another layer")
        layout.set(pixels, in: &operation)
        ConvolutionPieces(operation, rows: rows, panels: weights.panelCount).compute(operation)
      case .floats(let floats):
        operation.input = UnsafePointer(floats.elements.baseAddress)
        if Winograd.pays(for: operation) {
          return Winograd.run(operation, images: shape[0], panels: weights.panelCount)
        }
        let pieces = ConvolutionPieces(operation, rows: rows, panels: weights.panelCount)
        let converted = pieces.convertedInput(of: operation, weights: weights, pictures: shape[0])
        if let converted { converted.layout.set(converted.pixels, in: &operation) }
        withExtendedLifetime(converted) { pieces.compute(operation) }
      }
    }
  }

  /// x Wᵀ + bias over the last dimension, as a convolution of pictures one pixel high.
  ///
  /// - Parameter residual: of the output's shape, added to it.
  /// - Precondition: the shapes fit, and an input that was made for a layer was made for this one.
  public func linear(_ weights: PackedWeights, residual: DenseTensor<Float>? = nil) -> DenseTensor<Float> {
    let input = flattened
    let outer = Array(shape.dimensions.dropLast())
    return input.convolved(with: weights, residual: residual?.reshaped([1, 1, input.shape[2], weights.width]))
      .reshaped(Shape(outer + [weights.width]))
  }

  /// All rows as pixels of one picture one pixel high.
  private var flattened: LayerInput { reshaped([1, 1, shape.count / max(shape[-1], 1), shape[-1]]) }
}

extension fs_convolution {
  /// The sizes alone, of pictures `[batch, height, width, channels]`.
  init(_ weights: PackedWeights, _ geometry: ConvolutionGeometry, on shape: Shape) {
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
    let operation = fs_convolution(self, geometry, on: shape)
    guard Winograd.pays(for: operation) else { return 0 }
    return Winograd.scratchBytes(operation, images: shape[0], panels: panelCount)
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
