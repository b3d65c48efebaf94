import CKernels

extension PackedWeights {
  /// Weights of a size and no numbers, for rehearsals: what they would take is known, and they take nothing.
  ///
  /// - Precondition: nothing is computed with them, which layers check.
  package init(
    outlineOf outputs: Int, channels: Int, kernel: (height: Int, width: Int), hasBias: Bool, format: WeightFormat,
    gated: Bool
  ) {
    self.outputs = outputs
    self.channels = channels
    self.kernel = kernel
    self.format = format
    isGated = gated
    packed = DenseStorage(count: 0)
    bias = hasBias ? packed : nil
    byteCount = Self.byteCount(
      outputs: outputs, channels: channels, taps: kernel.height * kernel.width, hasBias: hasBias, format: format)
  }

  /// Whether the numbers are missing.
  var isOutline: Bool { packed.elements.isEmpty && byteCount > 0 }

  static func byteCount(outputs: Int, channels: Int, taps: Int, hasBias: Bool, format: WeightFormat) -> Int {
    let packed = Int(fs_packed_bytes(format.kernelFormat, Int64(outputs), Int64(channels), Int64(taps)))
    return packed / MemoryLayout<Float>.stride * MemoryLayout<Float>.stride
      + (hasBias ? outputs * MemoryLayout<Float>.stride : 0)
  }
}
