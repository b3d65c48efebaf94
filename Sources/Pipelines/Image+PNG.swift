internal import CPNG
import Foundation

extension Image {
  /// The image as a PNG file, 8-bit RGB without gamma or profile.
  ///
  /// - Parameter text: chunks to go before the pixels. Image generators keep the settings of an image under the
  ///   keyword `parameters`. Text that Latin-1 can hold becomes a `tEXt` chunk, which every reader knows, and any other
  ///   an `iTXt` chunk in UTF-8; neither is compressed.
  /// - Throws: ``ImageError/keyword(_:)``, ``ImageError/text(keyword:)`` or ``ImageError/encoding(reason:)``.
  public func pngData(text: [(keyword: String, text: String)] = []) throws(ImageError) -> Data {
    let writer = try PNGWriter()
    for (keyword, text) in text {
      try writer.add(text, keyword: keyword)
    }
    return try writer.finish(self)
  }

  /// Writes the image to a PNG file, which appears when it is complete and not before.
  ///
  /// The bytes go to a temporary file in the same folder, which then takes the place of the old file. After an error
  /// the old file is unchanged and the temporary one is gone.
  ///
  /// - Parameter text: as for ``pngData(text:)``.
  /// - Throws: what ``pngData(text:)`` does, and ``ImageError/writing(path:reason:)``.
  public func write(to url: URL, text: [(keyword: String, text: String)] = []) throws(ImageError) {
    let data = try pngData(text: text)
    do {
      try data.write(to: url, options: .atomic)
    } catch {
      throw .writing(path: url.isFileURL ? url.path : url.absoluteString, reason: Image.reason(of: error))
    }
  }

  /// The image in a PNG file of any colour type and depth.
  ///
  /// Grey and palette become RGB, 16 bits are rounded to 8, and transparency is dropped, uncovering the colours stored
  /// beneath it. Gamma and profiles are not applied. A file that ends early, or where the checksum of any chunk is
  /// wrong, is refused.
  ///
  /// - Parameter maximumPixelCount: the most pixels to accept; no memory for pixels is taken before they are counted.
  /// - Throws: ``ImageError/decoding(reason:)`` or ``ImageError/size(width:height:maximumPixelCount:)``.
  public init(png data: Data, maximumPixelCount: Int = maximumPixelCount) throws(ImageError) {
    self = try Image.decode(data, maximumPixelCount: maximumPixelCount).image
  }

  /// The text chunks of a PNG file, in order: `tEXt`, `zTXt` and `iTXt` alike, whether before or after the pixels.
  ///
  /// The whole file is read and checked, as by ``init(png:maximumPixelCount:)``.
  ///
  /// - Throws: ``ImageError/decoding(reason:)`` or ``ImageError/size(width:height:maximumPixelCount:)``.
  public static func text(
    png data: Data, maximumPixelCount: Int = maximumPixelCount
  ) throws(ImageError) -> [(keyword: String, text: String)] {
    try decode(data, maximumPixelCount: maximumPixelCount).text
  }

  private typealias Decoded = (image: Image, text: [(keyword: String, text: String)])

  private static func decode(_ data: Data, maximumPixelCount: Int) throws(ImageError) -> Decoded {
    try data.withUnsafeBytes { bytes in
      Result { () throws(ImageError) in
        let reader = try PNGReader(bytes)
        let image = try reader.readImage(maximumPixelCount: maximumPixelCount)
        return (image, reader.text())
      }
    }.get()
  }

  /// What the operating system said, where it said something: Foundation's own sentences leave most of it out.
  private static func reason(of error: any Error) -> String {
    guard let underlying = (error as? CocoaError)?.underlying as? POSIXError else { return error.localizedDescription }
    return String(cString: strerror(underlying.code.rawValue))
  }
}

private struct PNGWriter: ~Copyable {
  private let writer: UnsafeMutablePointer<fewstep_png_writer>

  init() throws(ImageError) {
    guard let writer = fewstep_png_writer_open() else { throw .encoding(reason: "out of memory") }
    self.writer = writer
  }

  deinit {
    fewstep_png_writer_close(writer)
  }

  func add(_ text: String, keyword: String) throws(ImageError) {
    guard let key = latin1(keyword), isKeyword(key) else { throw .keyword(keyword) }
    guard !text.utf8.contains(0) else { throw .text(keyword: keyword) }
    let latin1 = latin1(text)
    let added = (key + [0]).withUnsafeBytes { key in
      ((latin1 ?? Array(text.utf8)) + [0]).withUnsafeBytes { text in
        fewstep_png_writer_add_text(
          writer, key.bindMemory(to: CChar.self).baseAddress, text.bindMemory(to: CChar.self).baseAddress,
          latin1 == nil)
      }
    }
    guard added else { throw .encoding(reason: message) }
  }

  func finish(_ image: Image) throws(ImageError) -> Data {
    let finished = image.pixels.withUnsafeBufferPointer { pixels in
      fewstep_png_writer_finish(writer, pixels.baseAddress, UInt32(image.width), UInt32(image.height))
    }
    guard finished, let bytes = writer.pointee.bytes else { throw .encoding(reason: message) }
    return Data(bytes: bytes, count: writer.pointee.count)
  }

  private var message: String { text(of: writer.pointee.message) }

  /// The text in Latin-1, whose 256 characters are the first of Unicode.
  private func latin1(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard let byte = UInt8(exactly: scalar.value) else { return nil }
      bytes.append(byte)
    }
    return bytes
  }

  private func isKeyword(_ bytes: [UInt8]) -> Bool {
    let space = UInt8(ascii: " ")
    return (1...79).contains(bytes.count) && bytes.first != space && bytes.last != space
      && bytes.allSatisfy { (0x20...0x7E).contains($0) || $0 >= 0xA1 }
      && !zip(bytes, bytes.dropFirst()).contains { $0 == space && $1 == space }
  }
}

private struct PNGReader: ~Copyable {
  private let reader: UnsafeMutablePointer<fewstep_png_reader>

  /// A reader of bytes that must outlive it.
  init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
    guard let reader = fewstep_png_reader_open(bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count) else {
      throw .decoding(reason: "out of memory")
    }
    self.reader = reader
  }

  deinit {
    fewstep_png_reader_close(reader)
  }

  /// Reads the whole file, once.
  func readImage(maximumPixelCount: Int) throws(ImageError) -> Image {
    guard fewstep_png_reader_read_header(reader) else { throw .decoding(reason: message) }
    let (width, height) = (Int(reader.pointee.width), Int(reader.pointee.height))
    let count = try Image.valueCount(width: width, height: height, maximumPixelCount: maximumPixelCount)
    let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = fewstep_png_reader_read_pixels(reader, buffer.baseAddress) ? count : 0
    }
    guard !pixels.isEmpty else { throw .decoding(reason: message) }
    return try Image(width: width, height: height, pixels: pixels)
  }

  /// The text chunks, after the image has been read.
  func text() -> [(keyword: String, text: String)] {
    UnsafeBufferPointer(start: reader.pointee.texts, count: Int(reader.pointee.text_count)).map { chunk in
      let isUTF8 = chunk.compression >= PNG_ITXT_COMPRESSION_NONE
      let count = isUTF8 ? chunk.itxt_length : chunk.text_length
      let bytes = UnsafeRawBufferPointer(start: chunk.text, count: chunk.text == nil ? 0 : count)
      let keyword = UnsafeRawBufferPointer(start: chunk.key, count: chunk.key == nil ? 0 : strlen(chunk.key))
      return (string(latin1: keyword), isUTF8 ? String(decoding: bytes, as: UTF8.self) : string(latin1: bytes))
    }
  }

  private var message: String { Pipelines.text(of: reader.pointee.message) }

  private func string(latin1 bytes: UnsafeRawBufferPointer) -> String {
    var scalars = String.UnicodeScalarView()
    scalars.append(contentsOf: bytes.lazy.map { Unicode.Scalar($0) })
    return String(scalars)
  }
}

/// The text in a C array of characters, which Swift sees as a tuple.
private func text<Characters>(of characters: Characters) -> String {
  withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
