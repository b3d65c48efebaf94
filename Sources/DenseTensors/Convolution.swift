import CKernels
import Tensors

/// The weights of a convolution or a linear layer, packed for the kernels.
public struct PackedWeights: Sendable {
  public let outputs: Int
  public let channels: Int
  /// Height and width; (1, 1) for a linear layer.
  public let kernel: (height: Int, width: Int)
  /// The name in the checkpoint, for profiles.
  public var name = ""
  let packed: DenseStorage<Float>
  /// The same, transformed for Winograd's convolution, where that pays and its fourfold size is small.
  let transformed: DenseStorage<Float>?
  let bias: DenseStorage<Float>?

  /// - Parameters:
  ///   - weights: `[outputs, channels, height, width]`, or `[outputs, channels]` for a linear layer.
  ///   - bias: `[outputs]`.
  /// - Precondition: the counts fit, and the kernel has at most 49 taps.
  public init(
    _ weights: [Float], outputs: Int, channels: Int, kernel: (height: Int, width: Int) = (1, 1), bias: [Float]?
  ) {
    let taps = kernel.height * kernel.width
    precondition(weights.count == outputs * channels * taps && bias.map { $0.count == outputs } ?? true)
    precondition((1...49).contains(taps), "\(taps) taps")
    self.outputs = outputs
    self.channels = channels
    self.kernel = kernel
    packed = DenseStorage(count: Int(fs_packed_count(Int64(outputs), Int64(channels * taps))))
    let target = packed.elements.baseAddress
    weights.withUnsafeBufferPointer { weights in
      nonisolated(unsafe) let source = weights.baseAddress
      ThreadPool.forEach((outputs + FS_PANEL - 1) / FS_PANEL) { panel in
        fs_pack_weights(target, source, Int64(outputs), Int64(channels), Int64(taps), Int64(panel))
      }
    }
    // Below 16 channels the transforms cost more than they save; above 128 x 128 the weights leave the cache.
    if kernel == (3, 3), min(outputs, channels) >= 16, outputs * channels <= 128 * 256 {
      let storage = DenseStorage<Float>(count: Int(fs_winograd_weight_count(Int64(outputs), Int64(channels))))
      fs_winograd_transform_weights(storage.elements.baseAddress, weights, Int64(outputs), Int64(channels))
      transformed = storage
    } else {
      transformed = nil
    }
    self.bias = bias.map { values in
      let storage = DenseStorage<Float>(count: outputs)
      _ = storage.elements.initialize(from: values)
      return storage
    }
  }

  var panelCount: Int { (outputs + FS_PANEL - 1) / FS_PANEL }
}

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
  /// The side of the square as which each pixel is read: 2 for nearest-neighbour upsampling.
  public var upsampling: Int

  public init(stride: Int = 1, padding: Padding = Padding(0), upsampling: Int = 1) {
    self.stride = stride
    self.padding = padding
    self.upsampling = upsampling
  }
}

extension DenseTensor where Scalar == Float {
  /// The convolution of `[batch, height, width, channels]`, with what follows it done in the same pass.
  ///
  /// - Parameters:
  ///   - imageBias: `[batch, outputs]`, added to every pixel of its image.
  ///   - residual: of the output's shape, added to it.
  ///   - scale: what the sum is multiplied with at last.
  /// - Returns: `[batch, height, width, outputs]`.
  /// - Precondition: the shapes fit.
  public func convolved(
    with weights: PackedWeights, _ geometry: ConvolutionGeometry = .init(), imageBias: DenseTensor? = nil,
    residual: DenseTensor? = nil, scale: Float = 1
  ) -> DenseTensor {
    precondition(shape.rank == 4 && shape[3] == weights.channels, "\(shape) into \(weights.channels) channels")
    let padding = geometry.padding
    let spareHeight = shape[1] * geometry.upsampling + padding.top + padding.bottom - weights.kernel.height
    let spareWidth = shape[2] * geometry.upsampling + padding.left + padding.right - weights.kernel.width
    precondition(shape.count == 0 || min(spareHeight, spareWidth) >= 0, "\(shape) is smaller than the kernel")
    let (outHeight, outWidth) = (spareHeight / geometry.stride + 1, spareWidth / geometry.stride + 1)
    let timer = Profile.timer()
    let result = DenseTensor(uninitialized: [shape[0], outHeight, outWidth, weights.outputs])
    defer { timer?.stop(weights, geometry, from: shape, to: result.shape) }
    precondition(
      residual.map { $0.shape == result.shape } ?? true, "residual of \(residual!.shape) for \(result.shape)")
    precondition(imageBias.map { $0.shape == [shape[0], weights.outputs] } ?? true)
    let zeros = DenseStorage<Float>.zeros(atLeast: weights.channels)
    var operation = fs_convolution()
    operation.input = UnsafePointer(storage.elements.baseAddress)
    operation.input_stride = Int64(weights.channels)
    (operation.height, operation.width) = (Int64(shape[1]), Int64(shape[2]))
    operation.channels = Int64(weights.channels)
    operation.upsampling = Int64(geometry.upsampling)
    (operation.out_height, operation.out_width) = (Int64(outHeight), Int64(outWidth))
    (operation.kernel_height, operation.kernel_width) = (Int64(weights.kernel.height), Int64(weights.kernel.width))
    operation.stride = Int64(geometry.stride)
    (operation.pad_top, operation.pad_left) = (Int64(padding.top), Int64(padding.left))
    operation.zeros = UnsafePointer(zeros.elements.baseAddress)
    operation.weights = UnsafePointer(weights.packed.elements.baseAddress)
    operation.outputs = Int64(weights.outputs)
    operation.bias = UnsafePointer(weights.bias?.elements.baseAddress)
    operation.image_bias = UnsafePointer(imageBias?.storage.elements.baseAddress)
    operation.residual = UnsafePointer(residual?.storage.elements.baseAddress)
    operation.scale = scale
    operation.output = result.storage.elements.baseAddress
    withExtendedLifetime((self, weights, zeros, imageBias, residual, result)) {
      // The choice depends on one image alone, so that an image never depends on its batch.
      if let transformed = weights.transformed, geometry.stride == 1, outHeight >= 8, outWidth >= 8 {
        operation.weights = UnsafePointer(transformed.elements.baseAddress)
        Self.runWinograd(operation, images: shape[0])
      } else {
        Self.run(operation, rows: shape[0] * outHeight * outWidth, panels: weights.panelCount)
      }
    }
    return result
  }

  /// x Wᵀ + bias over the last dimension, as a convolution of pictures one pixel high.
  ///
  /// - Parameter residual: of the output's shape, added to it.
  /// - Precondition: the shapes fit.
  public func linear(_ weights: PackedWeights, residual: DenseTensor? = nil) -> DenseTensor {
    let rows = shape.count / max(shape[-1], 1)
    let outer = Array(shape.dimensions.dropLast())
    return reshaped([1, 1, rows, shape[-1]])
      .convolved(with: weights, residual: residual?.reshaped([1, 1, rows, weights.outputs]))
      .reshaped(Shape(outer + [weights.outputs]))
  }

  /// Splits the work so that every thread gets some: by rows, and by panels where there are few rows.
  private static func run(_ operation: fs_convolution, rows: Int, panels: Int) {
    let work = rows * panels * FS_PANEL * Int(operation.channels * operation.kernel_height * operation.kernel_width)
    // Less than a thread's waking would cost.
    guard work > 200_000, ThreadPool.threadCount > 1 else {
      withUnsafePointer(to: operation) { fs_convolve($0, 0, Int64(rows), 0, Int64(panels)) }
      return
    }
    let pieces = 4 * ThreadPool.threadCount
    let grain = 12  // rows of the largest tile
    let rowSize = max(1, (rows + pieces * grain - 1) / (pieces * grain)) * grain
    let rowPieces = (rows + rowSize - 1) / rowSize
    let panelSize = max(1, panels * rowPieces / pieces)
    let panelPieces = (panels + panelSize - 1) / panelSize
    withUnsafePointer(to: operation) { pointer in
      // The pointer outlives the calls, which only read it.
      nonisolated(unsafe) let pointer = pointer
      ThreadPool.forEach(rowPieces * panelPieces) { task in
        let (row, panel) = (task % rowPieces * rowSize, task / rowPieces * panelSize)
        fs_convolve(
          pointer, Int64(row), Int64(min(row + rowSize, rows)), Int64(panel), Int64(min(panel + panelSize, panels)))
      }
    }
  }
}

extension DenseTensor where Scalar == Float {
  /// Splits the work by tiles, as many at a time as keep their scratch in the second-level cache.
  private static func runWinograd(_ operation: fs_convolution, images: Int) {
    withUnsafePointer(to: operation) { pointer in
      nonisolated(unsafe) let pointer = pointer
      let tiles = images * Int(fs_winograd_tiles(pointer))
      let cacheFloats = 128 * 1024
      let fitting = max(12, cacheFloats / Int(fs_winograd_scratch_count(pointer, 1)) / 12 * 12)
      let share = (tiles + 2 * ThreadPool.threadCount - 1) / (2 * ThreadPool.threadCount)
      let size = min(fitting, max(share, 4))
      ThreadPool.forEach((tiles + size - 1) / size) { task in
        let range = task * size..<min((task + 1) * size, tiles)
        let count = Int(fs_winograd_scratch_count(pointer, Int64(range.count)))
        withUnsafeTemporaryAllocation(byteCount: count * MemoryLayout<Float>.stride, alignment: 64) { scratch in
          fs_winograd(
            pointer, Int64(range.lowerBound), Int64(range.upperBound),
            scratch.assumingMemoryBound(to: Float.self).baseAddress)
        }
      }
    }
  }
}

extension DenseStorage where Scalar == Float {
  private static let manyZeros: DenseStorage = {
    let storage = DenseStorage(count: 8192)
    storage.elements.initialize(repeating: 0)
    return storage
  }()

  /// Zeros to read outside a picture.
  fileprivate static func zeros(atLeast count: Int) -> DenseStorage {
    guard count > 8192 else { return manyZeros }
    let storage = DenseStorage(count: count)
    storage.elements.initialize(repeating: 0)
    return storage
  }
}
