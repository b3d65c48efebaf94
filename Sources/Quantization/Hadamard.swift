import Tensors

/// A rotation that spreads an outlier over its whole group, so that no step need grow for it.
///
/// Sylvester's matrix over the square root of its size: symmetric and orthogonal, hence its own inverse. With weights
/// and activations both rotated along the channels that are summed over, the product stays what it is. Ashkboos et al.
/// 2024, arXiv:2404.00456.
public struct HadamardRotation: Hashable, Sendable {
  /// A power of two.
  public let size: Int

  /// - Precondition: the size is a power of two.
  public init(size: Int) {
    precondition(size > 0 && size & (size - 1) == 0, "\(size) is no power of two")
    self.size = size
  }

  /// The largest rotation of at most `limit` channels that divides `channels`.
  public init(channels: Int, limit: Int = 256) {
    precondition(channels > 0 && limit > 0)
    var size = 1
    while size * 2 <= limit, channels % (size * 2) == 0 { size *= 2 }
    self.init(size: size)
  }

  /// Every group of ``size`` along the innermost dimension, rotated; n log n additions each.
  ///
  /// - Precondition: the groups fill the dimension.
  public func callAsFunction<T: ElementTensor>(_ tensor: T) -> T {
    precondition(tensor.shape.rank > 0 && tensor.shape[-1] % size == 0, "\(tensor.shape) in groups of \(size)")
    var values = tensor.elementValues
    var half = 1
    while half < size {
      for start in stride(from: 0, to: values.count, by: 2 * half) {
        for index in start..<start + half {
          let (x, y) = (values[index], values[index + half])
          (values[index], values[index + half]) = (x + y, x - y)
        }
      }
      half *= 2
    }
    let factor = 1 / Double(size).squareRoot()
    return T(elements: values.map { $0 * factor }, shape: tensor.shape)
  }
}
