import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct SafetensorsWriterTests {
  private let folder: TemporaryFolder
  private var url: URL { folder.url.appending(path: "w.safetensors", directoryHint: .notDirectory) }

  init() throws { folder = try TemporaryFolder() }

  /// Tensors of random type, rank and extents, zero among them, with names that need escapes.
  private static func tensors(_ generator: inout Generator) -> [SafetensorsWriter.Tensor] {
    let alphabet = ["a", ".", "\"", "\\", "\n", "\0", "é", "😀", "/", "\u{7F}", "\u{2028}"]
    return (0..<Int.random(in: 0...6, using: &generator)).map { index in
      let dimensions = (0..<Int.random(in: 0...4, using: &generator)).map { _ in
        Int.random(in: 0...4, using: &generator)
      }
      let shape = Shape(dimensions)
      let bits = (0..<shape.count).map { _ in generator.next() }
      let values: SafetensorsWriter.Values =
        switch index % 5 {
        case 0: .float32(bits.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) })
        case 2: .float16(bits.map { HalfPrecision.float(binary16: UInt16(truncatingIfNeeded: $0)) })
        case 3: .bfloat16(bits.map { HalfPrecision.float(bfloat16: UInt16(truncatingIfNeeded: $0)) })
        case 1: .int64(bits.map { Int64(bitPattern: $0) })
        default: .float64(bits.map { Double(bitPattern: $0) })
        }
      let letters = (0..<4).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }
      return SafetensorsWriter.Tensor(name: "\(index)" + letters.joined(), shape: shape, values: values)
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func whatIsWrittenIsRead(seed: UInt64) throws {
    var generator = Generator(state: seed)
    let tensors = Self.tensors(&generator)
    let metadata = seed % 2 == 0 ? [:] : ["k\u{1}\"": "v\\\n", "é": "😀"]
    try SafetensorsWriter.write(tensors, metadata: metadata, to: url)
    let file = try SafetensorsFile(url: url)
    #expect(file.names == tensors.map(\.name).sorted())
    #expect(file.metadata == metadata)
    for tensor in tensors {
      #expect(try file.entry(tensor.name).shape == tensor.shape)
      switch tensor.values {
      case .float32(let values):
        #expect(try file.floats(tensor.name).map(\.bitPattern) == values.map(\.bitPattern))
      case .float16(let values), .bfloat16(let values):
        let read = try file.floats(tensor.name)
        #expect(zip(read, values).allSatisfy { $0.isNaN ? $1.isNaN : $0.bitPattern == $1.bitPattern })
      case .float64(let values):
        #expect(try file.doubles(tensor.name).map(\.bitPattern) == values.map(\.bitPattern))
      case .int64(let values):
        #expect(try file.int64s(tensor.name) == values)
      }
    }
  }

  @Test func bytesDependOnTheTensorsAlone() throws {
    var generator = Generator(state: 5)
    let tensors = Self.tensors(&generator)
    try SafetensorsWriter.write(tensors, metadata: ["a": "1", "b": "2"], to: url)
    let first = try Data(contentsOf: url)
    try SafetensorsWriter.write(tensors.reversed(), metadata: ["b": "2", "a": "1"], to: url)
    #expect(try Data(contentsOf: url) == first)
    #expect(try folder.contents == ["w.safetensors"])
  }

  @Test func tensorsAreAligned() throws {
    let tensors = [
      SafetensorsWriter.Tensor(name: "a", shape: [3], values: .float32([1, 2, 3])),
      SafetensorsWriter.Tensor(name: "b", shape: [1], values: .float64([4])),
    ]
    try SafetensorsWriter.write(tensors, to: url)
    let file = try SafetensorsFile(url: url)
    for (name, alignment) in [("a", 4), ("b", 8)] {
      #expect(try file.withUnsafeBytes(of: name) { Int(bitPattern: $0.baseAddress) % alignment } == 0)
    }
  }

  /// A write that fails leaves the file that was there, and nothing else.
  @Test func failuresLeaveNoTrace() throws {
    try SafetensorsWriter.write([], to: url)
    let before = try Data(contentsOf: url)
    let one = SafetensorsWriter.Tensor(name: "a", shape: [1], values: .int64([1]))
    var reserved = one
    reserved.name = "__metadata__"
    var misshapen = one
    misshapen.shape = [2]
    for (tensors, kind) in [
      ([one, one], CheckpointError.Kind.malformedSafetensors), ([reserved], .malformedSafetensors),
      ([misshapen], .misshapenTensor),
    ] {
      let error = #expect(throws: CheckpointError.self) { try SafetensorsWriter.write(tensors, to: url) }
      #expect(error?.kind == kind)
    }
    #expect(try Data(contentsOf: url) == before)
    #expect(try folder.contents == ["w.safetensors"])
  }

  @Test func placesThatCannotBeWritten() throws {
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    for target in [url, folder.url.appending(path: "missing/w.safetensors")] {
      let error = #expect(throws: CheckpointError.self) { try SafetensorsWriter.write([], to: target) }
      #expect(error?.kind == .unwritableFile)
    }
    #expect(try folder.contents == ["w.safetensors"])
  }
}
