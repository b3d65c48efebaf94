import CKernels

/// The weights of a convolution or a linear layer, packed for the kernels.
public struct PackedWeights: Sendable {
  public let outputs: Int
  public let channels: Int
  /// Height and width; (1, 1) for a linear layer.
  public let kernel: (height: Int, width: Int)
  /// The name in the checkpoint, for profiles.
  public var name = ""
  public let format: WeightFormat
  /// Whether half of the outputs are gates of the others: value × GELU(gate) takes their place.
  public let isGated: Bool
  /// The memory that the weights take.
  public let byteCount: Int
  /// The bytes of the format.
  let packed: DenseStorage<Float>
  let bias: DenseStorage<Float>?

  /// - Parameters:
  ///   - weights: `[outputs, channels, height, width]`, or `[outputs, channels]` for a linear layer.
  ///   - bias: `[outputs]`.
  ///   - format: what the weights are rounded to.
  ///   - gated: makes the second half of the outputs of a linear layer gates of the first half.
  /// - Precondition: the counts fit and are positive, gated outputs are a multiple of 32, the kernel has at most 49
  ///   taps, and int8 weights have at most 65536 channels.
  public init(
    _ weights: [Float], outputs: Int, channels: Int, kernel: (height: Int, width: Int) = (1, 1), bias: [Float]?,
    format: WeightFormat = .float32, gated: Bool = false
  ) {
    let taps = kernel.height * kernel.width
    precondition(min(outputs, channels, kernel.height, kernel.width) > 0, "\(channels) channels to \(outputs)")
    precondition(weights.count == outputs * channels * taps && bias.map { $0.count == outputs } ?? true)
    precondition((1...49).contains(taps), "\(taps) taps")
    precondition(format != .int8 || channels <= 65536, "\(channels) channels of int8")
    self.outputs = outputs
    self.channels = channels
    self.kernel = kernel
    self.format = format
    isGated = gated
    precondition(!gated || taps == 1 && Self.canGate(outputs), "\(outputs) gated outputs")
    let weights = gated ? Self.alternating(weights, rows: outputs) : weights
    let bias = gated ? bias.map { Self.alternating($0, rows: outputs) } : bias
    // Weights outlive the run that they may be made in, and are packed in a rehearsal too.
    (packed, self.bias) = ActivationArena.outside {
      (
        Self.packed(weights, outputs: outputs, channels: channels, taps: taps, format: format.kernelFormat),
        bias.map { DenseStorage($0) }
      )
    }
    byteCount = Self.byteCount(
      outputs: outputs, channels: channels, taps: taps, hasBias: bias != nil, format: format)
  }

  private static func packed(
    _ weights: [Float], outputs: Int, channels: Int, taps: Int, format: fs_format
  ) -> DenseStorage<Float> {
    let bytes = Int(fs_packed_bytes(format, Int64(outputs), Int64(channels), Int64(taps)))
    let packed = DenseStorage<Float>(count: bytes / MemoryLayout<Float>.stride)
    let target = packed.elements.baseAddress
    weights.withUnsafeBufferPointer { weights in
      nonisolated(unsafe) let source = weights.baseAddress
      ThreadPool.forEach((outputs + FS_PANEL - 1) / FS_PANEL) { panel in
        fs_pack_weights(format, target, source, Int64(outputs), Int64(channels), Int64(taps), Int64(panel))
      }
    }
    return packed
  }

  /// Whether the layer of so many outputs can be gated: panels must be full.
  public static func canGate(_ outputs: Int) -> Bool { outputs % Int(FS_PANEL) == 0 }

  /// The rows of the first half and of the second by turns, as many of each as half a panel takes.
  private static func alternating(_ matrix: [Float], rows: Int) -> [Float] {
    let (half, columns) = (Int(FS_PANEL) / 2, matrix.count / rows)
    var result: [Float] = []
    result.reserveCapacity(matrix.count)
    for row in stride(from: 0, to: rows / 2, by: half) {
      for first in [row, rows / 2 + row] { result += matrix[first * columns..<(first + half) * columns] }
    }
    return result
  }

  /// The columns of what the layer gives.
  public var width: Int { isGated ? outputs / 2 : outputs }

  var panelCount: Int { (outputs + FS_PANEL - 1) / FS_PANEL }
}
