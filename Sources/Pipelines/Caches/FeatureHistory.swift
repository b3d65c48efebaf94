import DenseTensors
import Foundation
import Tensors

/// Tensors at past times, and the polynomial in lambda through them.
struct FeatureHistory {
  /// The newest first; no two at the same lambda.
  private(set) var nodes: [(lambda: Double, value: DenseTensor<Float>)] = []

  var byteCount: Int { nodes.reduce(0) { $0 + $1.value.shape.count * MemoryLayout<Float>.stride } }

  /// Adds the newest node, and forgets the oldest beyond `count`.
  ///
  /// Solvers that go back in time come to the same place again: the newer value takes the older one's place.
  mutating func add(_ value: DenseTensor<Float>, at lambda: Double, keeping count: Int) {
    nodes.removeAll { $0.lambda == lambda || abs($0.lambda - lambda) < 1e-6 }
    nodes.insert((lambda, value), at: 0)
    nodes.removeLast(max(0, nodes.count - count))
  }

  /// The value at `lambda`; nil without any node.
  ///
  /// Of the polynomials through the newest nodes, the highest that enlarges errors of the nodes no more than one
  /// through equally spaced nodes does one spacing ahead, which is 2^(order + 1) - 1 times: steps that grow towards the
  /// clean end lower the order, and so does a lambda that is not finite.
  func value(at lambda: Double) -> DenseTensor<Float>? {
    guard let newest = nodes.first else { return nil }
    for count in stride(from: nodes.count, to: 1, by: -1) {
      let weights = Self.weights(of: nodes.prefix(count).map(\.lambda), at: lambda)
      let gain = weights.reduce(0) { $0 + abs($1) }
      guard gain <= pow(2, Double(count)) - 1 + 1e-9 else { continue }
      var result = DenseTensor<Float>(zeros: newest.value.shape)
      result.assign(.init(zip(weights, nodes).map { .init($0, $1.value) }))
      return result
    }
    return newest.value
  }

  /// Lagrange's weights: the value of the polynomial at `lambda` is the sum of weights times values.
  static func weights(of nodes: [Double], at lambda: Double) -> [Double] {
    nodes.indices.map { own in
      nodes.indices.reduce(1) { product, other in
        own == other ? product : product * (lambda - nodes[other]) / (nodes[own] - nodes[other])
      }
    }
  }
}
