/// An 8-bit RGB image.
public struct Image: Sendable, Hashable {
  /// The most pixels an image may have, 2²⁸: 805 MB.
  public static let maximumPixelCount = 1 << 28

  public let width: Int
  public let height: Int

  /// The values in rows from the top, `[height, width, 3]`.
  public let pixels: [UInt8]

  /// An image of the given values, `[height, width, 3]`.
  ///
  /// - Throws: ``ImageError/size(width:height:maximumPixelCount:)`` or ``ImageError/valueCount(found:expected:)``.
  public init(width: Int, height: Int, pixels: [UInt8]) throws(ImageError) {
    try Image.check(width: width, height: height, valueCount: pixels.count)
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// An image of values in [-1, 1], `[height, width, 3]`: what a decoder gives.
  ///
  /// A value x becomes (x + 1) · 127.5, rounded to the nearest integer (ties to even, as NumPy does for diffusers) and
  /// limited to 0...255. NaN becomes 0.
  ///
  /// - Throws: ``ImageError/size(width:height:maximumPixelCount:)`` or ``ImageError/valueCount(found:expected:)``.
  public init(width: Int, height: Int, rgb: some Collection<Float>) throws(ImageError) {
    try Image.check(width: width, height: height, valueCount: rgb.count)
    self.width = width
    self.height = height
    self.pixels =
      rgb.withContiguousStorageIfAvailable(Image.levels) ?? Array(rgb).withUnsafeBufferPointer(Image.levels)
  }

  private static func levels(of values: UnsafeBufferPointer<Float>) -> [UInt8] {
    values.map { value in
      let level = ((value + 1) * 127.5).rounded(.toNearestOrEven)
      return level > 0 ? UInt8(min(level, 255)) : 0
    }
  }

  /// A contact sheet: the images in rows of `columns`, `gap` pixels apart.
  ///
  /// Every cell has the size of the widest and the tallest image, which need not be one; a smaller image sits in its
  /// cell's top left corner. There are no more columns than images.
  ///
  /// - Parameter background: the grey level of the gaps and of what no image covers.
  /// - Throws: ``ImageError/layout(imageCount:columns:gap:)``, or ``ImageError/size(width:height:maximumPixelCount:)``
  ///   where the sheet would be too large.
  public static func tiled(
    _ images: [Image], columns: Int, gap: Int = 2, background: UInt8 = 255
  ) throws(ImageError) -> Image {
    // Every image and every pixel of a gap takes a pixel of the sheet, so with these bounds nothing below overflows.
    guard columns > 0, (0...maximumPixelCount).contains(gap), images.count <= maximumPixelCount,
      let cellWidth = images.lazy.map(\.width).max(), let cellHeight = images.lazy.map(\.height).max()
    else {
      throw .layout(imageCount: images.count, columns: columns, gap: gap)
    }
    let columns = min(columns, images.count)
    let rows = (images.count + columns - 1) / columns
    let width = columns * cellWidth + (columns - 1) * gap
    let height = rows * cellHeight + (rows - 1) * gap
    let count = try valueCount(width: width, height: height)

    var pixels = [UInt8](repeating: background, count: count)
    for (index, image) in images.enumerated() {
      let left = index % columns * (cellWidth + gap)
      let top = index / columns * (cellHeight + gap)
      let row = image.width * 3
      for y in 0..<image.height {
        let start = ((top + y) * width + left) * 3
        pixels.replaceSubrange(start..<(start + row), with: image.pixels[(y * row)..<((y + 1) * row)])
      }
    }
    return try Image(width: width, height: height, pixels: pixels)
  }

  /// The number of values of an image of this size.
  static func valueCount(
    width: Int, height: Int, maximumPixelCount: Int = maximumPixelCount
  ) throws(ImageError) -> Int {
    let (count, overflow) = width.multipliedReportingOverflow(by: height)
    guard width > 0, height > 0, !overflow, count <= min(maximumPixelCount, Image.maximumPixelCount) else {
      throw .size(width: width, height: height, maximumPixelCount: maximumPixelCount)
    }
    return count * 3
  }

  private static func check(width: Int, height: Int, valueCount found: Int) throws(ImageError) {
    let expected = try valueCount(width: width, height: height)
    guard found == expected else { throw .valueCount(found: found, expected: expected) }
  }
}

/// What is wrong with an image, or with reading or writing one.
public enum ImageError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A side is not positive, or there are more pixels than allowed.
  case size(width: Int, height: Int, maximumPixelCount: Int)

  /// There are not three values to each pixel.
  case valueCount(found: Int, expected: Int)

  /// A contact sheet without an image or a column, or with a gap that is negative or larger than an image.
  case layout(imageCount: Int, columns: Int, gap: Int)

  /// A PNG keyword that is not 1 to 79 printable Latin-1 characters with single spaces inside only.
  case keyword(String)

  /// A PNG text with a NUL in it.
  case text(keyword: String)

  /// libpng could not write the image.
  case encoding(reason: String)

  /// libpng could not read the data: not a PNG file, a damaged one, or the beginning of one.
  case decoding(reason: String)

  /// The file could not be written; what was at `path` before is still there.
  case writing(path: String, reason: String)

  public var description: String {
    switch self {
    case .size(let width, let height, let maximum):
      "an image of \(width) x \(height) pixels: both sides must be positive, with at most \(maximum) pixels in all"
    case .valueCount(let found, let expected):
      "\(found) values for an image of \(expected)"
    case .layout(let imageCount, let columns, let gap):
      "no contact sheet of \(imageCount) images in \(columns) columns with a gap of \(gap) pixels"
    case .keyword(let keyword):
      "\(keyword.debugDescription) is not a PNG keyword: 1 to 79 printable Latin-1 characters, single spaces between"
    case .text(let keyword):
      "the PNG text \(keyword.debugDescription) has a NUL in it"
    case .encoding(let reason):
      "the PNG file could not be made: \(reason)"
    case .decoding(let reason):
      "the PNG file could not be read: \(reason)"
    case .writing(let path, let reason):
      "\(path) could not be written: \(reason)"
    }
  }
}
