import Foundation
import Testing

@testable import Pipelines

/// The colour types of PNG files, with libpng out of the way: these files are made of stored deflate blocks.
enum PNGColour: UInt8, CaseIterable {
  case grey = 0
  case rgb = 2
  case palette = 3
  case greyAlpha = 4
  case rgbAlpha = 6

  var channels: Int {
    switch self {
    case .grey, .palette: 1
    case .greyAlpha: 2
    case .rgb: 3
    case .rgbAlpha: 4
    }
  }

  var depths: [Int] {
    switch self {
    case .grey: [1, 2, 4, 8, 16]
    case .palette: [1, 2, 4, 8]
    case .rgb, .greyAlpha, .rgbAlpha: [8, 16]
    }
  }
}

typealias PNGChunk = (type: String, body: [UInt8])

/// A PNG file of unfiltered samples, one number each.
func png(
  width: Int, height: Int, depth: Int, colour: PNGColour, samples: [Int], before: [PNGChunk] = [],
  after: [PNGChunk] = []
) -> Data {
  let row = width * colour.channels
  let scanlines = (0..<height).flatMap { y in
    let bits = samples[(y * row)..<((y + 1) * row)].flatMap { sample in
      (0..<depth).reversed().map { UInt8(sample >> $0 & 1) }
    }
    let bytes = stride(from: 0, to: bits.count, by: 8).map { start in
      (0..<8).reduce(0) { $0 << 1 | (start + $1 < bits.count ? bits[start + $1] : 0) }
    }
    return [0] + bytes
  }
  return png(
    width: width, height: height, depth: depth, colour: colour, scanlines: scanlines, before: before, after: after)
}

/// A PNG file of scanlines, each behind its filter type.
func png(
  width: Int, height: Int, depth: Int, colour: PNGColour, scanlines: [UInt8], isInterlaced: Bool = false,
  hasPalette: Bool = true, before: [PNGChunk] = [], after: [PNGChunk] = []
) -> Data {
  var chunks: [PNGChunk] = [
    ("IHDR", bigEndian(width) + bigEndian(height) + [UInt8(depth), colour.rawValue, 0, 0, isInterlaced ? 1 : 0])
  ]
  if colour == .palette, hasPalette {
    chunks.append(("PLTE", (0..<(1 << depth)).flatMap(palette(entry:))))
    chunks.append(("tRNS", [0, 128]))
  }
  chunks += before + [("IDAT", zlib(scanlines))] + after + [("IEND", [])]
  return Data(
    [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
      + chunks.flatMap { chunk in
        let content = Array(chunk.type.utf8) + chunk.body
        return bigEndian(chunk.body.count) + content + bigEndian(Int(crc32(content)))
      })
}

/// The palette of these files.
func palette(entry: Int) -> [UInt8] {
  [UInt8(entry), UInt8(255 - entry), UInt8(entry * 7 % 256)]
}

/// The bytes as a zlib stream of one stored block.
func zlib(_ bytes: [UInt8]) -> [UInt8] {
  var (a, b) = (1, 0)
  for byte in bytes {
    a = (a + Int(byte)) % 65521
    b = (b + a) % 65521
  }
  let (low, high) = (UInt8(bytes.count & 0xFF), UInt8(bytes.count >> 8))
  return [0x78, 0x01, 0x01, low, high, ~low, ~high] + bytes + bigEndian(b << 16 | a)
}

private func crc32(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(~0) { crc, byte in
    (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
  }
}

private func bigEndian(_ value: Int) -> [UInt8] {
  [24, 16, 8, 0].map { UInt8(value >> $0 & 0xFF) }
}

/// The chunks of a sound PNG file, whose checksums are compared.
func chunks(of data: Data) -> [PNGChunk] {
  let bytes = [UInt8](data)
  var chunks: [PNGChunk] = []
  var start = 8
  while start < bytes.count {
    let count = bytes[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) }
    let content = Array(bytes[(start + 4)..<(start + 8 + count)])
    #expect(Array(bytes[(start + 8 + count)..<(start + 12 + count)]) == bigEndian(Int(crc32(content))))
    chunks.append((String(decoding: content.prefix(4), as: UTF8.self), Array(content.dropFirst(4))))
    start += 12 + count
  }
  return chunks
}

/// An image in which neighbours differ.
func pattern(width: Int, height: Int) throws -> Image {
  let pixels = (0..<(width * height * 3)).map { UInt8(truncatingIfNeeded: $0 &* $0 &* 31 &+ $0 >> 3) }
  return try Image(width: width, height: height, pixels: pixels)
}

extension Image {
  func pixel(_ x: Int, _ y: Int) -> [UInt8] {
    let start = (y * width + x) * 3
    return Array(pixels[start..<(start + 3)])
  }
}

func expectText(
  of data: Data, _ expected: [(String, String)], sourceLocation: SourceLocation = #_sourceLocation
) throws {
  // Strings are equal when canonically equivalent; the text is to come back as it was.
  let found = try Image.text(png: data).map { [Array($0.keyword.utf8), Array($0.text.utf8)] }
  #expect(found == expected.map { [Array($0.0.utf8), Array($0.1.utf8)] }, sourceLocation: sourceLocation)
}

func expectUnreadable(_ data: Data, sourceLocation: SourceLocation = #_sourceLocation) {
  let error = #expect(throws: ImageError.self, sourceLocation: sourceLocation) { try Image(png: data) }
  guard case .decoding(let reason)? = error, !reason.isEmpty else {
    Issue.record("damaged data gave \(String(describing: error))", sourceLocation: sourceLocation)
    return
  }
}

func expectUnwritable(_ url: URL, sourceLocation: SourceLocation = #_sourceLocation) {
  let error = #expect(throws: ImageError.self, sourceLocation: sourceLocation) {
    try pattern(width: 3, height: 3).write(to: url)
  }
  guard case .writing(let path, let reason)? = error, !path.isEmpty, !reason.isEmpty else {
    Issue.record("an impossible file gave \(String(describing: error))", sourceLocation: sourceLocation)
    return
  }
}

func withTemporaryFolder(_ body: (URL) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder)
}

func expectContents(
  of folder: URL, _ expected: [String], sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let found = try FileManager.default.contentsOfDirectory(atPath: folder.path)
  #expect(found.sorted() == expected, sourceLocation: sourceLocation)
}
