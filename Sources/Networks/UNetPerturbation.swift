import DenseTensors
import Foundation
import Tensors

/// What is done to some layers of a UNet for one image of a batch, so that guidance has a worse prediction to move
/// away from.
public struct UNetPerturbation: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// Self-attention passes its values on (arXiv:2403.17377).
    case identityAttention
    /// Self-attention's queries are blurred by a Gaussian of this standard deviation in pixels of the layer; infinite
    /// for their mean (arXiv:2408.00760). It is cut off at three deviations, and reflected at the edges.
    case blurredQueries(sigma: Double)
    /// Transformers are left out.
    case skipped
  }

  let kind: Kind
  /// Full names of transformers.
  let layers: Set<String>
}

/// A layer that is named and is not there.
public struct UnknownLayerError: Error, Hashable, Sendable, CustomStringConvertible {
  public let name: String
  public let known: [String]

  public var description: String {
    "no layer is named \"\(name)\"; there are \(known.joined(separator: ", ")), and the blocks that hold them"
  }
}

extension DenseTensor<Float> {
  /// Image `image` of `[batch, length, width]` becomes columns `column ..< column + width` of the same rows of
  /// `source`.
  mutating func replaceImage(_ image: Int, with source: DenseTensor, column: Int = 0) {
    let (length, width, stride) = (shape[1], shape[2], source.shape[2])
    source.withUnsafeBufferPointer { source in
      withUnsafeMutableBufferPointer { target in
        for row in image * length..<(image + 1) * length {
          for index in 0..<width { target[row * width + index] = source[row * stride + column + index] }
        }
      }
    }
  }

  /// Blurs columns `0 ..< width` of an image of `[batch, height × width, columns]` over its picture.
  mutating func blurImage(_ image: Int, columns width: Int, size: (height: Int, width: Int), sigma: Double) {
    let stride = shape[2]
    let first = image * shape[1] * stride
    let vertical = BlurWeights(sigma: sigma, count: size.height)
    let horizontal = BlurWeights(sigma: sigma, count: size.width)
    withUnsafeMutableBufferPointer { elements in
      var plane = [Double](repeating: 0, count: size.height * size.width)
      var rows = plane
      for column in 0..<width {
        for pixel in plane.indices { plane[pixel] = Double(elements[first + pixel * stride + column]) }
        for y in 0..<size.height {
          for x in 0..<size.width {
            rows[y * size.width + x] = horizontal.sum(at: x) { plane[y * size.width + $0] }
          }
        }
        for y in 0..<size.height {
          for x in 0..<size.width {
            let sum = vertical.sum(at: y) { rows[$0 * size.width + x] }
            elements[first + (y * size.width + x) * stride + column] = Float(sum)
          }
        }
      }
    }
  }
}

/// A normalised Gaussian over `count` pixels in a row.
private struct BlurWeights {
  private let weights: [Double]
  private let count: Int
  /// nil for the mean of the row.
  private let radius: Int?

  init(sigma: Double, count: Int) {
    self.count = count
    guard sigma.isFinite else {
      radius = nil
      weights = []
      return
    }
    // Reflection reaches no further than the row.
    let radius = Int(min((3 * sigma).rounded(.up), Double(count - 1)))
    self.radius = radius
    weights = (-radius...radius).map { exp(-0.5 * (Double($0) / sigma) * (Double($0) / sigma)) }
  }

  func sum(at position: Int, _ value: (Int) -> Double) -> Double {
    guard let radius else { return (0..<count).reduce(0) { $0 + value($1) } / Double(count) }
    var (sum, total) = (0.0, 0.0)
    for (index, weight) in weights.enumerated() {
      var source = abs(position + index - radius)
      if source >= count { source = 2 * (count - 1) - source }
      sum += weight * value(source)
      total += weight
    }
    return sum / total
  }
}
