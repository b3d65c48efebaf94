import Tensors

/// What is known of the activations that go into a layer: how large each channel has been.
public struct ActivationRanges: Hashable, Sendable {
  /// The largest magnitude so far of each channel.
  public private(set) var magnitudes: [Double]
  /// The rows that have been seen.
  public private(set) var rows = 0

  public init(channels: Int) {
    magnitudes = Array(repeating: 0, count: channels)
  }

  /// Takes activations into account, `[..., channels]`.
  ///
  /// - Precondition: the channels are as many.
  public mutating func observe(_ activations: some ElementTensor) {
    precondition(activations.shape.rank > 0 && activations.shape[-1] == magnitudes.count)
    for (index, value) in activations.elementValues.enumerated() {
      let channel = index % magnitudes.count
      magnitudes[channel] = max(magnitudes[channel], value.magnitude)
    }
    rows += activations.shape.count / max(magnitudes.count, 1)
  }
}

/// The times of a trajectory to calibrate at.
public enum CalibrationTimes {
  /// `count` times, one in each of as many equal parts of `interval` so that no stretch of the trajectory goes without,
  /// at places within the parts that do not repeat: multiples of the golden ratio.
  public static func stratified(_ count: Int, in interval: ClosedRange<Double>) -> [Double] {
    let golden = (5.0.squareRoot() - 1) / 2
    let width = (interval.upperBound - interval.lowerBound) / Double(max(count, 1))
    return (0..<max(count, 0)).map { index in
      let place = (Double(index + 1) * golden).truncatingRemainder(dividingBy: 1)
      return interval.lowerBound + (Double(index) + place) * width
    }
  }
}
