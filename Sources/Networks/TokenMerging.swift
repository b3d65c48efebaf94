import DenseTensors
import Tensors

/// Which pixels of an image share a token of self-attention, so that it has fewer to attend to.
///
/// Bolya and Hoffman 2023, arXiv:2303.17604: of every square of 2 x 2 pixels one is a destination, and of all others
/// the share that is most like a destination is merged into it: attention sees the mean, and its output goes to all of
/// them. The paper chooses destinations at random; here they are the squares' upper left pixels, so that an image is a
/// function of its noise.
struct TokenMerging {
  /// The token of every pixel, by image.
  private let tokens: [[Int32]]
  /// Tokens of an image.
  let count: Int

  /// How many of an image's pixels are merged into others: at most those that are no destination.
  static func mergedCount(ratio: Double, size: (height: Int, width: Int)) -> Int {
    let pixels = size.height * size.width
    let destinations = ((size.height + 1) / 2) * ((size.width + 1) / 2)
    return min(Int(ratio * Double(pixels)), pixels - destinations)
  }

  /// - Parameters:
  ///   - hidden: `[batch, height × width, channels]`. Each image is treated by itself.
  ///   - ratio: the share of the pixels to merge, 0 to 1; more than 0.75 is not possible and taken for that.
  init(_ hidden: DenseTensor<Float>, size: (height: Int, width: Int), ratio: Double) {
    let merged = Self.mergedCount(ratio: ratio, size: size)
    let pixels = size.height * size.width
    let isDestination = (0..<pixels).map { $0 / size.width % 2 == 0 && $0 % size.width % 2 == 0 }
    let destinations = (0..<pixels).filter { isDestination[$0] }
    let sources = (0..<pixels).filter { !isDestination[$0] }
    count = pixels - merged
    tokens = (0..<hidden.shape[0]).map { image in
      let likest = Self.likest(hidden, image: image, sources: sources, destinations: destinations)
      // Equal ones in their order, so that the choice is the same everywhere.
      let order = sources.indices.sorted { (likest[$1].likeness, $0) < (likest[$0].likeness, $1) }
      var tokens = [Int32](repeating: 0, count: pixels)
      for (token, pixel) in destinations.enumerated() { tokens[pixel] = Int32(token) }
      for source in order.prefix(merged) { tokens[sources[source]] = Int32(likest[source].destination) }
      // The others keep their order in the picture, which makes neighbours of neighbours.
      for (token, source) in order.dropFirst(merged).sorted().enumerated() {
        tokens[sources[source]] = Int32(destinations.count + token)
      }
      return tokens
    }
  }

  /// The destination that each source is most like, by the cosine of their channels.
  private static func likest(
    _ hidden: DenseTensor<Float>, image: Int, sources: [Int], destinations: [Int]
  ) -> [(likeness: Float, destination: Int)] {
    let channels = hidden.shape[2]
    func directions(_ pixels: [Int]) -> [Float] {
      hidden.withUnsafeBufferPointer { elements in
        var rows: [Float] = []
        rows.reserveCapacity(pixels.count * channels)
        for pixel in pixels {
          let row = elements[
            (image * hidden.shape[1] + pixel) * channels..<(image * hidden.shape[1] + pixel + 1) * channels]
          let scale = 1 / max(row.reduce(0) { $0 + $1 * $1 }.squareRoot(), .leastNormalMagnitude)
          rows.append(contentsOf: row.lazy.map { $0 * scale })
        }
        return rows
      }
    }
    let packed = PackedWeights(
      directions(destinations), outputs: destinations.count, channels: channels, bias: nil)
    let likenesses = DenseTensor(directions(sources), shape: [sources.count, channels]).linear(packed)
    return likenesses.withUnsafeBufferPointer { likenesses in
      sources.indices.map { source in
        let row = likenesses[source * destinations.count..<(source + 1) * destinations.count]
        var best = (likeness: -Float.infinity, destination: 0)
        for (destination, likeness) in row.enumerated() where likeness > best.likeness {
          best = (likeness, destination)
        }
        return best
      }
    }
  }

  /// The means of the pixels of each token: `[batch, pixels, channels]` becomes `[batch, count, channels]`.
  func merge(_ hidden: DenseTensor<Float>) -> DenseTensor<Float> {
    let (batch, pixels, channels) = (hidden.shape[0], hidden.shape[1], hidden.shape[2])
    var result = DenseTensor<Float>(zeros: [batch, count, channels])
    hidden.withUnsafeBufferPointer { input in
      result.withUnsafeMutableBufferPointer { output in
        for image in 0..<batch {
          var members = [Float](repeating: 0, count: count)
          for (pixel, token) in tokens[image].enumerated() {
            members[Int(token)] += 1
            let (from, to) = ((image * pixels + pixel) * channels, (image * count + Int(token)) * channels)
            for channel in 0..<channels { output[to + channel] += input[from + channel] }
          }
          for token in 0..<count where members[token] > 1 {
            let to = (image * count + token) * channels
            for channel in 0..<channels { output[to + channel] /= members[token] }
          }
        }
      }
    }
    return result
  }

  /// Every pixel of `residual`, `[batch, pixels, channels]`, plus its token of `merged`, `[batch, count, channels]`.
  func spread(_ merged: DenseTensor<Float>, onto residual: DenseTensor<Float>) -> DenseTensor<Float> {
    let (pixels, channels) = (residual.shape[1], residual.shape[2])
    var result = residual
    merged.withUnsafeBufferPointer { input in
      result.withUnsafeMutableBufferPointer { output in
        for (image, tokens) in tokens.enumerated() {
          for (pixel, token) in tokens.enumerated() {
            let (from, to) = ((image * count + Int(token)) * channels, (image * pixels + pixel) * channels)
            for channel in 0..<channels { output[to + channel] += input[from + channel] }
          }
        }
      }
    }
    return result
  }
}
