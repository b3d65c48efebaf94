import Foundation
import Testing

@testable import Pipelines

@Suite struct ImageTests {
  static let sizes = [(1, 1), (1, 7), (7, 1), (2, 3), (13, 17), (64, 64), (127, 251)]

  @Test(arguments: sizes) func pngRoundTrip(width: Int, height: Int) throws {
    let image = try pattern(width: width, height: height)
    let data = try image.pngData()
    #expect(try Image(png: data) == image)
    #expect(try Image.text(png: data).isEmpty)
    #expect(chunks(of: data).allSatisfy { ["IHDR", "IDAT", "IEND"].contains($0.type) })
  }

  // MARK: Values

  @Test func everyLevelIsReached() throws {
    let values = (0..<768).lazy.map { Float($0 / 3) / 127.5 - 1 }
    #expect(try Image(width: 256, height: 1, rgb: values).pixels == (0..<768).map { UInt8($0 / 3) })
    #expect(try Image(width: 256, height: 1, rgb: Array(values)).pixels == (0..<768).map { UInt8($0 / 3) })
  }

  @Test(
    arguments: [
      (-1, 0), (1, 255), (0, 128), (-0.0, 128), (1.001, 255), (-1.001, 0), (.infinity, 255), (-.infinity, 0), (.nan, 0),
      (.signalingNaN, 0), (.greatestFiniteMagnitude, 255), (-.greatestFiniteMagnitude, 0),
      (0.49 / 127.5 - 1, 0), (0.51 / 127.5 - 1, 1), (254.49 / 127.5 - 1, 254), (254.51 / 127.5 - 1, 255),
    ] as [(Float, UInt8)])
  func valuesAreRoundedAndLimited(value: Float, expected: UInt8) throws {
    let image = try [value, value, value].withUnsafeBufferPointer { values in
      try Image(width: 1, height: 1, rgb: values)
    }
    #expect(image.pixels == [expected, expected, expected])
  }

  @Test func sizesAreChecked() {
    #expect(throws: ImageError.valueCount(found: 5, expected: 6)) {
      try Image(width: 2, height: 1, rgb: [Float](repeating: 0, count: 5))
    }
    #expect(throws: ImageError.valueCount(found: 0, expected: 3)) { try Image(width: 1, height: 1, pixels: []) }
    for (width, height) in [(0, 1), (1, 0), (-1, -1), (1 << 28, 2), (.max, .max), (.min, -1)] {
      #expect(throws: ImageError.size(width: width, height: height, maximumPixelCount: 1 << 28)) {
        try Image(width: width, height: height, pixels: [])
      }
    }
  }

  // MARK: Contact sheets

  @Test func tilesAreInReadingOrder() throws {
    let grey = try (1...3).map { try Image(width: 1, height: 1, pixels: [UInt8](repeating: UInt8($0), count: 3)) }
    let sheet = try Image.tiled(grey, columns: 2, gap: 1, background: 9)
    #expect((sheet.width, sheet.height) == (3, 3))
    #expect(stride(from: 0, to: 27, by: 3).map { sheet.pixels[$0] } == [1, 9, 2, 9, 9, 9, 3, 9, 9])
    #expect(try Image.tiled(grey, columns: 7, gap: 0).width == 3)
    #expect(try Image.tiled([grey[0]], columns: 1, gap: 5) == grey[0])
  }

  @Test func tilesMayDifferInSize() throws {
    let (wide, tall) = (try pattern(width: 5, height: 2), try pattern(width: 3, height: 4))
    let sheet = try Image.tiled([wide, tall], columns: 2, gap: 2, background: 0)
    #expect((sheet.width, sheet.height) == (12, 4))
    for y in 0..<4 {
      for x in 0..<12 {
        let expected =
          if x < 5, y < 2 { wide.pixel(x, y) } else if (7..<10).contains(x) { tall.pixel(x - 7, y) } else {
            [0, 0, 0] as [UInt8]
          }
        #expect(sheet.pixel(x, y) == expected)
      }
    }
  }

  @Test func impossibleSheetsAreErrors() throws {
    let image = try pattern(width: 1, height: 1)
    for (count, columns, gap) in [(0, 1, 0), (1, 0, 0), (1, -1, 0), (2, 1, -1), (1, 1, .max)] {
      #expect(throws: ImageError.layout(imageCount: count, columns: columns, gap: gap)) {
        try Image.tiled([Image](repeating: image, count: count), columns: columns, gap: gap)
      }
    }
    #expect(throws: ImageError.size(width: 2 + (1 << 28), height: 1, maximumPixelCount: 1 << 28)) {
      try Image.tiled([image, image], columns: 2, gap: 1 << 28)
    }
  }

  // MARK: Text

  @Test(arguments: ["", "Steps: 20, Sampler: DPM++ 2M", "una señal\nà côté: ÿ", "two\r\nlines\ttab"])
  func latin1TextIsTEXt(text: String) throws {
    let data = try pattern(width: 3, height: 2).pngData(text: [("parameters", text)])
    let found = chunks(of: data)
    #expect(found.prefix(3).map(\.type) == ["IHDR", "tEXt", "IDAT"])
    #expect(found[1].body == Array("parameters".utf8) + [0] + text.unicodeScalars.map { UInt8($0.value) })
    try expectText(of: data, [("parameters", text)])
  }

  @Test(arguments: ["灯台", "naïve — “quoted”", "e\u{301}", "🗼", "Ā"])
  func otherTextIsITXt(text: String) throws {
    let data = try pattern(width: 3, height: 2).pngData(text: [("parameters", text)])
    let found = chunks(of: data)
    #expect(found.prefix(3).map(\.type) == ["IHDR", "iTXt", "IDAT"])
    #expect(found[1].body == Array("parameters".utf8) + [0, 0, 0, 0, 0] + Array(text.utf8))
    try expectText(of: data, [("parameters", text)])
  }

  @Test func textKeepsItsOrder() throws {
    let long = String(repeating: "lighthouse, ", count: 20_000)
    let text = [("parameters", long), ("Título", "été"), ("parameters", "灯台"), (String(repeating: "k", count: 79), "")]
    try expectText(of: pattern(width: 1, height: 1).pngData(text: text), text)
  }

  @Test func textOfOtherWritersIsRead() throws {
    let compressed = Array("Comment".utf8) + [0, 0] + zlib(Array("été".unicodeScalars.map { UInt8($0.value) }))
    let international = Array("Titre".utf8) + [0, 1, 0] + Array("fr".utf8) + [0, 0] + zlib(Array("灯台".utf8))
    let late = Array("Late".utf8) + [0] + Array("after".utf8)
    let data = png(
      width: 1, height: 1, depth: 8, colour: .grey, scanlines: [0, 7],
      before: [("zTXt", compressed), ("iTXt", international)], after: [("tEXt", late)])
    try expectText(of: data, [("Comment", "été"), ("Titre", "灯台"), ("Late", "after")])
  }

  @Test(arguments: [
    "", " parameters", "parameters ", "two  spaces", "line\nfeed", "灯台", "no\u{A0}break", "\u{0}", "\u{80}",
    String(repeating: "k", count: 80),
  ]) func badKeywordsAreErrors(keyword: String) throws {
    let image = try pattern(width: 1, height: 1)
    #expect(throws: ImageError.keyword(keyword)) { try image.pngData(text: [(keyword, "text")]) }
  }

  @Test func textWithNULIsAnError() throws {
    let image = try pattern(width: 1, height: 1)
    #expect(throws: ImageError.text(keyword: "parameters")) { try image.pngData(text: [("parameters", "a\u{0}b")]) }
  }

  // MARK: Reading

  @Test(arguments: [1, 2, 4, 8, 16], PNGColour.allCases)
  func everyColourTypeBecomesRGB(depth: Int, colour: PNGColour) throws {
    guard colour.depths.contains(depth) else { return }
    let (width, height) = (5, 3)
    let samples = (0..<(width * height * colour.channels)).map { ($0 * 40503 + 7 * depth) % (1 << depth) }
    let data = png(width: width, height: height, depth: depth, colour: colour, samples: samples)

    let levels = samples.map { sample in
      UInt8((Double(sample) * 255 / Double(1 << depth - 1)).rounded())
    }
    let expected: [UInt8] = (0..<(width * height)).flatMap { (index) -> [UInt8] in
      let first = index * colour.channels
      switch colour {
      case .grey, .greyAlpha: return [UInt8](repeating: levels[first], count: 3)
      case .rgb, .rgbAlpha: return Array(levels[first..<(first + 3)])
      case .palette: return palette(entry: samples[first])
      }
    }
    #expect(try Image(png: data).pixels == expected)
  }

  @Test func interlacedFilesAreRead() throws {
    // Adam7 visits the pixels of a 2 x 2 image as (0, 0), then (1, 0), then the second row.
    let data = png(
      width: 2, height: 2, depth: 8, colour: .grey, scanlines: [0, 10, 0, 20, 0, 30, 40], isInterlaced: true)
    #expect(try Image(png: data).pixels == [10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40])
  }

  @Test func sizesInFilesAreLimited() throws {
    let data = try pattern(width: 3, height: 2).pngData()
    #expect(try Image(png: data, maximumPixelCount: 6).width == 3)
    for maximum in [5, 0, -1] {
      #expect(throws: ImageError.size(width: 3, height: 2, maximumPixelCount: maximum)) {
        try Image(png: data, maximumPixelCount: maximum)
      }
    }
    let side = Int(Int32.max)
    let huge = png(width: side, height: side, depth: 16, colour: .rgbAlpha, scanlines: [0])
    #expect(throws: ImageError.size(width: side, height: side, maximumPixelCount: 1 << 28)) { try Image(png: huge) }
    #expect(throws: ImageError.self) { try Image(png: huge, maximumPixelCount: .max) }
    expectUnreadable(png(width: 0, height: 1, depth: 8, colour: .grey, scanlines: [0]))
    expectUnreadable(png(width: side + 1, height: 1, depth: 8, colour: .grey, scanlines: [0]))
  }

  @Test func otherDataIsAnError() throws {
    expectUnreadable(Data())
    expectUnreadable(Data("not a picture".utf8))
    expectUnreadable(Data(repeating: 0, count: 4096))
    expectUnreadable(png(width: 2, height: 2, depth: 8, colour: .grey, scanlines: [0, 1, 2]))
    expectUnreadable(png(width: 1, height: 1, depth: 3, colour: .grey, scanlines: [0, 1]))
    let missingPalette = png(width: 1, height: 1, depth: 8, colour: .palette, scanlines: [0, 1], hasPalette: false)
    expectUnreadable(missingPalette)
  }

  /// Files that take different ways through libpng.
  static let wholeFiles: [Data] = {
    let image = try? pattern(width: 13, height: 7)
    let written = try? image?.pngData(text: [("parameters", "Steps: 20"), ("parameters", "灯台")])
    let palette = png(
      width: 5, height: 3, depth: 2, colour: .palette, samples: (0..<15).map { $0 % 4 },
      before: [("zTXt", Array("Comment".utf8) + [0, 0] + zlib(Array("text".utf8)))],
      after: [("tEXt", Array("Late".utf8) + [0, 65])])
    let interlaced = png(
      width: 2, height: 2, depth: 8, colour: .grey, scanlines: [0, 10, 0, 20, 0, 30, 40], isInterlaced: true)
    return [written, palette, interlaced].compactMap { $0 }
  }()

  @Test(arguments: 0..<3) func everyTruncationIsAnError(file: Int) throws {
    let data = Self.wholeFiles[file]
    _ = try Image(png: data)
    for count in 0..<data.count {
      expectUnreadable(data.prefix(count))
      expectUnreadable(Data(data.prefix(count)))
    }
  }

  @Test(arguments: 0..<3) func everyChangedByteIsAnError(file: Int) throws {
    let data = Self.wholeFiles[file]
    for index in data.indices {
      for mask: UInt8 in [0x01, 0x20, 0xFF] {
        var damaged = data
        damaged[index] ^= mask
        expectUnreadable(damaged)
      }
    }
  }

  @Test func errorsInManyTasksAtOnce() async {
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<64 {
        group.addTask {
          let data = Self.wholeFiles[task % 3]
          for count in stride(from: task, to: data.count, by: 7) {
            expectUnreadable(data.prefix(count))
            #expect(throws: Never.self) { try Image(png: data) }
          }
        }
      }
    }
  }

  // MARK: Files

  @Test func fileIsReplacedWhole() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "lighthouse ß.png")
      for size in [40, 3] {
        let image = try pattern(width: size, height: size)
        try image.write(to: url, text: [("parameters", "Steps: 20")])
        let data = try Data(contentsOf: url)
        #expect(try Image(png: data) == image)
        try expectText(of: data, [("parameters", "Steps: 20")])
        try expectContents(of: folder, ["lighthouse ß.png"])
      }
    }
  }

  @Test func badTextLeavesTheOldFile() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "old.png")
      try Data("old".utf8).write(to: url)
      #expect(throws: ImageError.keyword("")) { try pattern(width: 1, height: 1).write(to: url, text: [("", "")]) }
      #expect(try Data(contentsOf: url) == Data("old".utf8))
      try expectContents(of: folder, ["old.png"])
    }
  }

  @Test func missingFolderIsAnError() throws {
    try withTemporaryFolder { folder in
      expectUnwritable(folder.appending(path: "missing/new.png"))
      try expectContents(of: folder, [])
    }
  }

  @Test func folderInTheWayIsAnError() throws {
    try withTemporaryFolder { folder in
      let url = folder.appending(path: "taken.png")
      try FileManager.default.createDirectory(at: url.appending(path: "inside"), withIntermediateDirectories: true)
      expectUnwritable(url)
      try expectContents(of: folder, ["taken.png"])
      try expectContents(of: url, ["inside"])
    }
  }

  @Test func fileInThePathIsAnError() throws {
    try withTemporaryFolder { folder in
      try Data("old".utf8).write(to: folder.appending(path: "file"))
      expectUnwritable(folder.appending(path: "file/new.png"))
      try expectContents(of: folder, ["file"])
    }
  }

  @Test(.enabled(if: geteuid() != 0, "root may write anywhere")) func readOnlyFolderIsAnError() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: folder.path)
      expectUnwritable(folder.appending(path: "new.png"))
      try expectContents(of: folder, [])
      try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
    }
  }

  @Test func addressesOfOtherKindsAreErrors() throws {
    let url = try #require(URL(string: "ftp://example.invalid/new.png"))
    expectUnwritable(url)
  }

  @Test func descriptionsAreOneLine() {
    let errors: [ImageError] = [
      .size(width: 0, height: 1, maximumPixelCount: 2), .valueCount(found: 1, expected: 3),
      .layout(imageCount: 0, columns: 1, gap: 2), .keyword("line\nfeed"), .text(keyword: "line\nfeed"),
      .encoding(reason: "out of memory"), .decoding(reason: "not a PNG file"),
      .writing(path: "a.png", reason: "no space"),
    ]
    #expect(errors.allSatisfy { !$0.description.isEmpty && !$0.description.contains("\n") })
  }
}
