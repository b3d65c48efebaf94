import Tensors

/// A rectangle of a picture's pixels.
public struct PixelWindow: Hashable, Sendable {
  public var rows: Range<Int>
  public var columns: Range<Int>

  public init(rows: Range<Int>, columns: Range<Int>) {
    self.rows = rows
    self.columns = columns
  }

  public var count: Int { rows.count * columns.count }
}

extension DenseTensor where Scalar == Float {
  /// The pixels of a window of `[1, height, width, channels]`.
  ///
  /// - Precondition: there is one image, and the window lies in it.
  public func cropped(to window: PixelWindow) -> DenseTensor {
    checkWindow(window)
    let (width, channels) = (shape[2], shape[3])
    guard window.count < shape[1] * width else { return self }
    let result = DenseTensor(uninitialized: [1, window.rows.count, window.columns.count, channels])
    let size = window.columns.count * channels
    withExtendedLifetime((self, result)) {
      let (source, target) = (storage.elements.baseAddress!, result.storage.elements.baseAddress!)
      ThreadPool.forEachRange(window.rows.count, grain: max(1, 16384 / max(size, 1))) { range in
        for row in range {
          let start = ((window.rows.lowerBound + row) * width + window.columns.lowerBound) * channels
          (target + row * size).update(from: source + start, count: size)
        }
      }
    }
    return result
  }

  /// Puts other pixels into a window of `[1, height, width, channels]`.
  ///
  /// - Precondition: there is one image, the window lies in it, and the pixels fill it.
  public mutating func replace(_ window: PixelWindow, with pixels: DenseTensor) {
    checkWindow(window)
    let (width, channels) = (shape[2], shape[3])
    precondition(pixels.shape == [1, window.rows.count, window.columns.count, channels])
    let size = window.columns.count * channels
    withUnsafeMutableBufferPointer { target in
      pixels.withUnsafeBufferPointer { source in
        for (index, row) in window.rows.enumerated() {
          let start = (row * width + window.columns.lowerBound) * channels
          (target.baseAddress! + start).update(from: source.baseAddress! + index * size, count: size)
        }
      }
    }
  }

  private func checkWindow(_ window: PixelWindow) {
    precondition(shape.rank == 4 && shape[0] == 1)
    precondition(window.rows.lowerBound >= 0 && window.rows.upperBound <= shape[1])
    precondition(window.columns.lowerBound >= 0 && window.columns.upperBound <= shape[2])
  }
}
