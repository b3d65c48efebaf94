import CKernels
import Tensors

/// What a group norm makes of a tensor's numbers: for each image a factor and a summand per channel, which do all of the
/// norm at once.
///
/// Sums go over pieces of fixed size and are added up in order: the same bits for any number of threads. Every task
/// writes numbers of its own.
final class GroupStatistics: @unchecked Sendable {
  private let parameters: NormParameters
  private let groups: Int
  private let imageScale: DenseTensor<Float>?
  private let imageShift: DenseTensor<Float>?
  private let images: Int
  /// Of one image.
  private let rows: Int
  private let channels: Int
  private let pieceRows: Int
  private let pieces: Int
  private let sums: DenseStorage<Double>
  private let allScales: DenseStorage<Float>

  /// - Precondition: the parameters fit the shape.
  init(
    of shape: Shape, _ parameters: NormParameters, groups: Int, imageScale: DenseTensor<Float>? = nil,
    imageShift: DenseTensor<Float>? = nil
  ) {
    (self.parameters, self.groups) = (parameters, groups)
    (self.imageScale, self.imageShift) = (imageScale, imageShift)
    (images, channels) = (shape[0], shape[-1])
    rows = shape.count / images / channels
    pieceRows = max(1, 16384 / channels)
    pieces = (rows + pieceRows - 1) / pieceRows
    sums = DenseStorage(count: images * pieces * 2 * channels)
    allScales = DenseStorage(count: images * 2 * channels)
  }

  /// Of the tensor.
  private func rows(of piece: Int, in image: Int) -> Range<Int> {
    image * rows + piece * pieceRows..<image * rows + min((piece + 1) * pieceRows, rows)
  }

  /// The factors of an image's channels, then the summands.
  private func scales(of image: Int) -> UnsafeMutablePointer<Float> {
    allScales.elements.baseAddress! + image * 2 * channels
  }

  /// All scales, image by image.
  var scales: UnsafeMutableBufferPointer<Float> { allScales.elements }

  private func sums(of image: Int) -> UnsafeMutablePointer<Double> {
    sums.elements.baseAddress! + image * pieces * 2 * channels
  }

  /// Computes the scales of all images, on all threads.
  func compute(on input: UnsafePointer<Float>) {
    ThreadPool.forEach(images * pieces) { task in
      let (image, piece) = task.quotientAndRemainder(dividingBy: pieces)
      add(piece, of: image, in: input)
    }
    ThreadPool.forEach(images, finish)
  }

  /// Computes the scales of all images and calls `body` for all rows with those of their image, on all threads: in one
  /// pass where a thread's second-level cache still holds an image that was read, and there is one for each thread.
  func forEachPiece(of input: UnsafePointer<Float>, _ body: (Range<Int>, UnsafePointer<Float>) -> Void) {
    let staysCached = rows * channels * MemoryLayout<Float>.stride <= 256 << 10
    if images >= ThreadPool.width && staysCached || pieces == 1 {
      ThreadPool.forEach(images) { image in
        for piece in 0..<pieces { add(piece, of: image, in: input) }
        finish(image)
        body(image * rows..<(image + 1) * rows, scales(of: image))
      }
    } else {
      compute(on: input)
      ThreadPool.forEach(images * pieces) { task in
        let (image, piece) = task.quotientAndRemainder(dividingBy: pieces)
        body(rows(of: piece, in: image), scales(of: image))
      }
    }
  }

  /// Adds up a piece of an image.
  private func add(_ piece: Int, of image: Int, in input: UnsafePointer<Float>) {
    let (own, part) = (sums(of: image) + piece * 2 * channels, rows(of: piece, in: image))
    own.initialize(repeating: 0, count: 2 * channels)
    fs_channel_sums(
      own, own + channels, input + part.lowerBound * channels, Int64(part.count), Int64(channels))
  }

  /// Makes an image's scales of the sums of its pieces.
  private func finish(_ image: Int) {
    let (total, scales) = (sums(of: image), scales(of: image))
    for piece in 1..<max(pieces, 1) {
      let own = total + piece * 2 * channels
      for index in 0..<2 * channels { total[index] += own[index] }
    }
    let (imageScale, imageShift) = (
      imageScale.map { $0.storage.elements.baseAddress! + image * channels },
      imageShift.map { $0.storage.elements.baseAddress! + image * channels }
    )
    let size = channels / groups
    let count = Double(rows * size)
    for group in 0..<groups {
      let members = group * size..<(group + 1) * size
      let mean = members.reduce(0) { $0 + total[$1] } / count
      let square = members.reduce(0) { $0 + total[channels + $1] } / count
      let inverse = 1 / (max(square - mean * mean, 0) + Double(parameters.epsilon)).squareRoot()
      for channel in members {
        let factor = Double(parameters.gain.elements[channel]) * inverse
        let extra = 1 + Double(imageScale?[channel] ?? 0)
        scales[channel] = Float(factor * extra)
        scales[channels + channel] = Float(
          (Double(parameters.shift.elements[channel]) - mean * factor) * extra + Double(imageShift?[channel] ?? 0))
      }
    }
  }
}
