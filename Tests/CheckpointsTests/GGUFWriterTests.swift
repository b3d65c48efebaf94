import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

@Suite struct GGUFWriterTests {
  private let folder: TemporaryFolder
  private var url: URL { folder.url.appending(path: "w.gguf", directoryHint: .notDirectory) }

  init() throws { folder = try TemporaryFolder() }

  /// A tensor of each type, whose sizes are no multiples of the alignment where they can be.
  private static func tensors(_ values: [Float], shape: Shape) -> [GGUFWriter.Tensor] {
    [
      .init(name: "q8", shape: shape, values: .blocks(.q8, BlockFormat.q8.encode(values))),
      .init(name: "bf16", shape: shape, values: .bfloat16(values.map(HalfFloat.bfloat16.bits))),
      .init(name: "f32", shape: shape, values: .float32(values)),
      .init(name: "q4", shape: shape, values: .blocks(.q4, BlockFormat.q4.encode(values))),
      .init(name: "f16", shape: shape, values: .float16(values.map(HalfFloat.binary16.bits))),
      .init(name: "odd", shape: [3], values: .float16([0x3C00, 0x4000, 0xC200])),
      .init(name: "one", shape: [], values: .float32([7])),
      .init(name: "none", shape: [0, 2], values: .float32([])),
    ]
  }

  @Test(arguments: [[32], [3, 32], [5, 3, 64], [2, 1, 3, 96]] as [Shape])
  func whatIsWrittenIsRead(_ shape: Shape) throws {
    let values = DoubleTensor(noise: NoiseField(seed: 3), shape: shape).values.map { Float($0) }
    let tensors = Self.tensors(values, shape: shape)
    let numbers: [String: GGUFWriter.Metadata] = [
      "a": .uint32(.max), "b": .int32(.min), "c": .uint64(.max), "d": .int64(.min), "e": .float32(0.5),
      "f": .float64(-2),
    ]
    try GGUFWriter.write(
      tensors, metadata: numbers.merging(["é": .string("😀"), "general.architecture": .string("unet")]) { $1 }, to: url)
    let file = try GGUFFile(url: url)
    #expect(file.metadata == ["é": "😀", "general.architecture": "unet"])
    #expect(file.names == tensors.map(\.name).sorted())
    for tensor in tensors { #expect(try file.entry(tensor.name).shape == tensor.shape) }
    #expect(try file.floats("f32") == values)
    #expect(try file.floats("f16") == values.map { HalfFloat.binary16.value(of: HalfFloat.binary16.bits(of: $0)) })
    #expect(try file.floats("bf16") == values.map { HalfFloat.bfloat16.value(of: HalfFloat.bfloat16.bits(of: $0)) })
    for (name, format) in [("q8", BlockFormat.q8), ("q4", .q4)] {
      var decoded = [Float](repeating: 0, count: values.count)
      format.encode(values).withUnsafeBytes { bytes in
        decoded.withUnsafeMutableBufferPointer { format.decode(bytes, into: $0) }
      }
      #expect(try file.floats(name) == decoded)
    }
    #expect(try file.floats("odd") == [1, 2, -3])
    #expect(try file.floats("one") == [7])
    #expect(try file.floats("none") == [])
  }

  /// Two tensors and three values, byte for byte as docs/gguf.md of ggml has it.
  @Test func bytesAreThoseOfTheSpecification() throws {
    try GGUFWriter.write(
      [
        .init(name: "w", shape: [2, 3], values: .float16([1, 2, 3, 4, 5, 0x3C00])),
        .init(name: "bc", shape: [1], values: .float32([1])),
      ], metadata: ["s": .string("hi"), "i": .int32(-2), "f": .float32(1)], to: url)
    let header: [[UInt8]] = [
      [0x47, 0x47, 0x55, 0x46],  // "GGUF"
      [3, 0, 0, 0],  // the version
      [2, 0, 0, 0, 0, 0, 0, 0],  // tensors
      [3, 0, 0, 0, 0, 0, 0, 0],  // values
      [1, 0, 0, 0, 0, 0, 0, 0, 0x66],  // "f"
      [6, 0, 0, 0, 0, 0, 0x80, 0x3F],  // FLOAT32, 1
      [1, 0, 0, 0, 0, 0, 0, 0, 0x69],  // "i"
      [5, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF],  // INT32, -2
      [1, 0, 0, 0, 0, 0, 0, 0, 0x73],  // "s"
      [8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x68, 0x69],  // STRING, "hi"
      [1, 0, 0, 0, 0, 0, 0, 0, 0x77],  // "w"
      [2, 0, 0, 0],  // its dimensions, the innermost first
      [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
      [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],  // F16, at 0
      [2, 0, 0, 0, 0, 0, 0, 0, 0x62, 0x63],  // "bc"
      [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0],  // F32, at 32
    ]
    let first: [UInt8] = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 0, 0x3C]
    let second: [UInt8] = [0, 0, 0x80, 0x3F]
    // The header has 156 bytes.
    let bytes =
      header.flatMap { $0 } + [UInt8](repeating: 0, count: 4) + first + [UInt8](repeating: 0, count: 20) + second
      + [UInt8](repeating: 0, count: 28)
    #expect(try Array(Data(contentsOf: url)) == bytes)
  }

  /// A block of each format, byte for byte: the step as a half, then the levels.
  @Test func blocksFollowTheHeader() throws {
    let step: [UInt8] = [0, 0x3C]
    var values = [Float](repeating: 0, count: 32)
    (values[0], values[1], values[16]) = (-127, 1, 2)
    let q8 = step + [0x81, 1] + [UInt8](repeating: 0, count: 14) + [2] + [UInt8](repeating: 0, count: 15)
    #expect(try Self.data(of: .q8, values, at: url) == q8 + [UInt8](repeating: 0, count: 30))
    (values[0], values[1], values[16]) = (-8, 3, -1)
    let q4 = step + [0x70, 0x8B] + [UInt8](repeating: 0x88, count: 14)
    #expect(try Self.data(of: .q4, values, at: url) == q4 + [UInt8](repeating: 0, count: 14))
  }

  /// What follows the 64 bytes of the header of a file with one tensor.
  private static func data(of format: BlockFormat, _ values: [Float], at url: URL) throws -> [UInt8] {
    try GGUFWriter.write([.init(name: "x", shape: [32], values: .blocks(format, format.encode(values)))], to: url)
    return try Array(Data(contentsOf: url).dropFirst(64))
  }

  /// A write that fails leaves the file that was there, and nothing else.
  @Test func failuresLeaveNoTrace() throws {
    try GGUFWriter.write([], to: url)
    let before = try Data(contentsOf: url)
    let one = GGUFWriter.Tensor(name: "a", shape: [1], values: .float32([1]))
    func changed(_ change: (inout GGUFWriter.Tensor) -> Void) -> [GGUFWriter.Tensor] {
      var tensor = one
      change(&tensor)
      return [tensor]
    }
    let block = GGUFWriter.Values.blocks(.q4, [UInt8](repeating: 0, count: 18))
    let refused: [(tensors: [GGUFWriter.Tensor], metadata: [String: GGUFWriter.Metadata], text: String)] = [
      ([one, one], [:], "the name twice"),
      (changed { $0.name = String(repeating: "é", count: 33) }, [:], "a name of 66 bytes, expected at most 64"),
      (changed { $0.shape = [1, 1, 1, 1, 1] }, [:], "5 dimensions"),
      (changed { $0 = .init(name: "b", shape: [2, 16], values: block) }, [:], "rows in whole blocks of 32"),
      (changed { $0 = .init(name: "b", shape: [], values: block) }, [:], "rows in whole blocks of 32"),
      ([one], ["general.alignment": .uint32(64)], "reserved"),
      ([one], ["": .uint32(1)], "1 to 65535 bytes"),
      ([one], [String(repeating: "k", count: 65536): .uint32(1)], "1 to 65535 bytes"),
    ]
    for (tensors, metadata, text) in refused {
      let error = #expect(throws: CheckpointError.self) { try GGUFWriter.write(tensors, metadata: metadata, to: url) }
      #expect(error?.kind == .malformedGGUF)
      #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
    }
    for tensors in [changed { $0.shape = [2] }, changed { $0 = .init(name: "b", shape: [64], values: block) }] {
      let error = #expect(throws: CheckpointError.self) { try GGUFWriter.write(tensors, to: url) }
      #expect(error?.kind == .misshapenTensor)
    }
    #expect(try Data(contentsOf: url) == before)
    #expect(try folder.contents == ["w.gguf"])
  }

  /// The longest name and the most dimensions there may be.
  @Test func limitsAreReached() throws {
    let name = String(repeating: "n", count: 64)
    try GGUFWriter.write([.init(name: name, shape: [1, 1, 1, 2], values: .float32([1, 2]))], to: url)
    #expect(try GGUFFile(url: url).floats(name, shape: [1, 1, 1, 2]) == [1, 2])
  }

  @Test func placesThatCannotBeWritten() throws {
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    for target in [url, folder.url.appending(path: "missing/w.gguf")] {
      let error = #expect(throws: CheckpointError.self) { try GGUFWriter.write([], to: target) }
      #expect(error?.kind == .unwritableFile)
    }
    #expect(try folder.contents == ["w.gguf"])
  }
}
