import Tensors

/// How far layers with other weights would be from those of a model that runs, on the inputs that it meets.
///
/// Every layer is compared by itself, its input being that of the running model: errors do not add up, and each is the
/// layer's own.
public final class LayerComparison: Sendable {
  /// Sums over all outputs of a layer.
  public struct Sums: Hashable, Sendable {
    /// Of the squares of the outputs.
    public internal(set) var signal = 0.0
    /// Of the squared differences.
    public internal(set) var noise = 0.0
  }

  @TaskLocal private static var current: LayerComparison?
  private let others: [String: PackedWeights]
  private let collected = Lock<[String: Sums]>([:])

  /// - Parameter others: layers by the names of those that they stand for.
  public init(with others: [PackedWeights]) {
    self.others = Dictionary(others.map { ($0.name, $0) }) { first, _ in first }
  }

  /// What has been collected, by the layers' names.
  public var sums: [String: Sums] { collected.withLock { $0 } }

  /// Compares the layers that `body` calls in its task.
  public nonisolated(nonsending) func observe<Result>(
    _ body: nonisolated(nonsending) () async throws -> Result
  ) async rethrows -> Result {
    try await Self.$current.withValue(self) { try await body() }
  }

  /// Whether layers are being compared, for which their inputs must be floats.
  static var isObserving: Bool { current != nil }

  /// Compares the products alone: what is added to a layer's output hides its errors.
  static func note(_ input: DenseTensor<Float>, _ weights: PackedWeights, _ geometry: ConvolutionGeometry) {
    guard let current, let other = current.others[weights.name], !ActivationArena.isRehearsing,
      (other.outputs, other.channels) == (weights.outputs, weights.channels), other.kernel == weights.kernel
    else { return }
    $current.withValue(nil) {
      ActivationArena.outside {
        let expected = input.convolved(with: weights, geometry)
        let difference = DenseTensor.combining((1, input.convolved(with: other, geometry)), (-1, expected))
        let (signal, noise) = (expected.innerProduct(expected), difference.innerProduct(difference))
        current.collected.withLock {
          $0[weights.name, default: Sums()].signal += signal
          $0[weights.name, default: Sums()].noise += noise
        }
      }
    }
  }
}
