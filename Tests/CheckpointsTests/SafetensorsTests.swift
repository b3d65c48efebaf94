import Checkpoints
import Foundation
import Tensors
import Testing

@Suite struct SafetensorsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func file(_ header: String, _ buffer: [UInt8]) throws -> SafetensorsFile {
    try SafetensorsFile(url: folder.write(safetensors(header.utf8) + buffer, to: "a.safetensors"))
  }

  @Test func noTensors() throws {
    let file = try file("{}", [])
    #expect(file.names.isEmpty)
    #expect(file.metadata.isEmpty)
  }

  @Test func everythingTheFormatAllows() throws {
    let header = #"""
      {"__metadata__": {"format": "pt", "": "é\u00e9"}, "z": {"data_offsets": [5, 5], "shape": [0, 7], "dtype": "F64"},
      "s":{"dtype":"I8","shape":[],"data_offsets":[4,5]}, "":{"dtype":"U16","shape":[1,2],"data_offsets":[0,4]}}
      """#
    let file = try file(header + "   ", [1, 2, 3, 4, 0xFF])
    #expect(file.names == ["", "s", "z"])
    #expect(file.metadata == ["format": "pt", "": "éé"])
    #expect(try file.entry("").shape == [1, 2])
    #expect(try file.entry("").dataType == .uint16)
    #expect(try file.int64s("") == [0x0201, 0x0403])
    #expect(try file.int64s("s", shape: []) == [-1])
    #expect(try file.doubles("z", shape: [0, 7]).isEmpty)
    #expect(try file.floats("z").isEmpty)
    #expect(try file.withUnsafeBytes(of: "s") { Array($0) } == [0xFF])
    #expect(file.contains("s") && !file.contains("t"))
  }

  /// The reader does not mind where in the file a tensor lies.
  @Test(arguments: 0..<8)
  func everyAlignment(padding: Int) throws {
    let floats: [Float] = [1, -2.5, .pi, .infinity, 1e-40]
    let bytes = floats.flatMap { value in withUnsafeBytes(of: value) { Array($0) } }
    let header = #"{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}"# + String(repeating: " ", count: padding)
    #expect(try file(header, bytes).floats("a") == floats)
  }

  @Test(arguments: [
    (TensorDataType.float32, [0, 0, 0xC0, 0x3F]), (.float16, [0, 0x3E]), (.bfloat16, [0xC0, 0x3F]),
    (.float64, [0, 0, 0, 0, 0, 0, 0xF8, 0x3F]),
  ])
  func floatingPointTypes(type: TensorDataType, oneAndAHalf: [UInt8]) throws {
    let size = 3 * type.byteCount
    let header = #"{"a":{"dtype":"\#(type.rawValue)","shape":[3],"data_offsets":[0,\#(size)]}}"#
    let file = try file(header, oneAndAHalf + oneAndAHalf + oneAndAHalf)
    #expect(try file.floats("a") == [1.5, 1.5, 1.5])
    #expect(try file.doubles("a") == [1.5, 1.5, 1.5])
    var buffer: [Float] = [0, 0, 0]
    try buffer.withUnsafeMutableBufferPointer { buffer throws(CheckpointError) in try file.read("a", into: buffer) }
    #expect(buffer == [1.5, 1.5, 1.5])
    #expect(throws: CheckpointError.self) { try file.int64s("a") }
  }

  @Test(arguments: [
    TensorDataType.int64, .int32, .int16, .int8, .uint32, .uint16, .uint8,
  ])
  func integerTypes(type: TensorDataType) throws {
    let ones = [UInt8](repeating: 0xFF, count: type.byteCount)
    let header = #"{"a":{"dtype":"\#(type.rawValue)","shape":[1],"data_offsets":[0,\#(ones.count)]}}"#
    let isSigned = type.rawValue.hasPrefix("I")
    #expect(try file(header, ones).int64s("a") == [isSigned ? -1 : Int64(1) << (8 * ones.count) - 1])
  }

  @Test(arguments: TensorDataType.allCases)
  func everyTypeHasItsSize(type: TensorDataType) throws {
    let size = 6 * type.byteCount
    let header = #"{"a":{"dtype":"\#(type.rawValue)","shape":[2,3],"data_offsets":[0,\#(size)]}}"#
    let file = try file(header, Array(repeating: 0, count: size))
    #expect(try file.entry("a").dataType == type)
    #expect(try file.withUnsafeBytes(of: "a") { $0.count } == size)
  }

  @Test func errorsNameTheTensor() throws {
    let file = try file(#"{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#, Array(repeating: 0, count: 8))
    func error(_ body: () throws -> Void) -> CheckpointError? {
      #expect(throws: CheckpointError.self, performing: body)
    }
    let missing = error { _ = try file.floats("b") }
    #expect(missing?.kind == .missingTensor && missing?.key == "b")
    let misshapen = error { _ = try file.floats("a", shape: [1, 2]) }
    #expect(misshapen?.kind == .misshapenTensor)
    #expect(misshapen?.description.hasSuffix("tensor `a`: found shape [2, 1], expected [1, 2]") == true)
    let mistyped = error { _ = try file.int64s("a") }
    #expect(mistyped?.kind == .wrongDataType && mistyped?.found == "F32")
    let short = error {
      try withUnsafeTemporaryAllocation(of: Float.self, capacity: 1) { try file.read("a", into: $0) }
    }
    #expect(short?.kind == .misshapenTensor)
  }

  /// A copy outlives the value it was made from, and the file's name.
  /// Freed memory comes back from the file, that of the tensors around it untouched.
  @Test func discardedTensorsCanBeReadAgain() throws {
    let counts = [3000, 5000, 1]
    let names = ["a", "b", "c"]
    var header: [String] = []
    var offset = 0
    for (name, count) in zip(names, counts) {
      header.append(
        #""\#(name)":{"dtype":"F32","shape":[\#(count)],"data_offsets":[\#(offset),\#(offset + 4 * count)]}"#)
      offset += 4 * count
    }
    let bytes = (0..<offset / 4).flatMap { value in withUnsafeBytes(of: Float(value)) { Array($0) } }
    let file = try file("{" + header.joined(separator: ",") + "}", bytes)
    let before = try names.map { try file.floats($0) }
    for name in names { try file.discard(name) }
    #expect(try names.map { try file.floats($0) } == before)
    #expect(before.flatMap { $0 } == (0..<offset / 4).map { Float($0) })
    #expect(throws: CheckpointError.self) { try file.discard("d") }
  }

  @Test func theMappingStays() throws {
    let copy = try {
      let file = try file(#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, [7, 9])
      try FileManager.default.removeItem(at: file.url)
      return file
    }()
    #expect(try copy.int64s("a") == [7, 9])
  }

  @Test func theBundledModel() throws {
    let unet = Fixture.glyphs.appending(path: "unet/diffusion_pytorch_model.safetensors")
    let file = try SafetensorsFile(url: unet)
    #expect(try file.entry("conv_in.weight").shape == [48, 4, 3, 3])
    #expect(try file.floats("conv_in.weight", shape: [48, 4, 3, 3]).allSatisfy(\.isFinite))
  }
}
