import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

/// Puts a GGUF file together, sound unless a test says otherwise.
struct GGUFBytes {
  var bytes: [UInt8] = []

  mutating func add(_ number: some FixedWidthInteger) {
    withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
  }

  mutating func add(_ text: String, length: UInt64? = nil) {
    add(length ?? UInt64(text.utf8.count))
    bytes += text.utf8
  }

  static func header(
    magic: UInt32 = 0x4655_4747, version: UInt32 = 3, tensors: UInt64, values: UInt64 = 0
  ) -> GGUFBytes {
    var file = GGUFBytes()
    file.add(magic)
    file.add(version)
    file.add(tensors)
    file.add(values)
    return file
  }

  mutating func addTensor(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
    add(name)
    add(UInt32(dimensions.count))
    for dimension in dimensions { add(dimension) }
    add(type)
    add(offset)
  }

  mutating func pad(to alignment: Int = 32) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  /// A file with one tensor.
  static func file(
    _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0, name: String = "a", data: Int
  ) -> [UInt8] {
    var file = header(tensors: 1)
    file.addTensor(name, dimensions, type: type, offset: offset)
    file.pad()
    return file.bytes + [UInt8](repeating: 0, count: data)
  }
}

@Suite struct GGUFTests {
  static let values = DoubleTensor(noise: NoiseField(seed: 9), shape: [6, 64]).values.map { Float($0) }

  /// One tensor of each type, and values of each kind.
  private func sound() -> [UInt8] {
    var file = GGUFBytes.header(tensors: 5, values: 4)
    file.add("general.architecture")
    file.add(UInt32(8))
    file.add("unet")
    file.add("general.alignment")
    file.add(UInt32(4))
    file.add(UInt32(64))
    file.add("words")
    file.add(UInt32(9))
    file.add(UInt32(8))
    file.add(UInt64(2))
    file.add("one")
    file.add("two")
    file.add("numbers")
    file.add(UInt32(9))
    file.add(UInt32(5))
    file.add(UInt64(3))
    file.bytes += [UInt8](repeating: 7, count: 12)
    let parts: [(String, UInt32, [UInt8])] = [
      ("f32", 0, Self.values.flatMap { withUnsafeBytes(of: $0) { Array($0) } }),
      ("f16", 1, Self.values.flatMap { withUnsafeBytes(of: HalfFloat.binary16.bits(of: $0)) { Array($0) } }),
      ("q4_0", 2, BlockFormat.q4.encode(Self.values)),
      ("q8_0", 8, BlockFormat.q8.encode(Self.values)),
      ("bf16", 30, Self.values.flatMap { withUnsafeBytes(of: HalfFloat.bfloat16.bits(of: $0)) { Array($0) } }),
    ]
    var data: [UInt8] = []
    for (name, type, bytes) in parts {
      file.addTensor(name, [64, 6], type: type, offset: UInt64(data.count))
      data += bytes
      while data.count % 64 != 0 { data.append(0) }
    }
    file.pad(to: 64)
    return file.bytes + data
  }

  @Test func readsEveryType() throws {
    let folder = try TemporaryFolder()
    let file = try GGUFFile(url: folder.write(sound(), to: "x.gguf"))
    #expect(file.names == ["bf16", "f16", "f32", "q4_0", "q8_0"])
    #expect(file.metadata == ["general.architecture": "unet"])
    let reference = DoubleTensor(Self.values.map(Double.init))
    for (name, least) in [("f32", Double.infinity), ("f16", 65), ("bf16", 48), ("q8_0", 40), ("q4_0", 18)] {
      let values = try file.floats(name, shape: [6, 64])
      #expect(DoubleTensor(values.map(Double.init)).signalToNoise(against: reference) >= least)
    }
    #expect(throws: CheckpointError.self) { try file.floats("f32", shape: [64, 6]) }
    #expect(throws: CheckpointError.self) { try file.floats("nope") }
  }

  @Test func isAComponentsWeightsLikeAnyOther() throws {
    let folder = try TemporaryFolder()
    try folder.write(sound(), to: "diffusion_pytorch_model.gguf")
    let store = try WeightStore(folder: folder.url)
    #expect(store.storageFormat == nil && store.names.count == 5)
    #expect(try store.floats("f32", shape: [6, 64]) == Self.values)
    #expect(store.unreadNames == ["bf16", "f16", "q4_0", "q8_0"])
  }

  /// Every beginning of a sound file is refused, and no byte of the header, changed, does harm.
  @Test func survivesCutsAndChanges() throws {
    let folder = try TemporaryFolder()
    let bytes = sound()
    for length in stride(from: 0, to: bytes.count, by: 37) {
      let url = try folder.write(bytes[..<length], to: "x.gguf")
      #expect(throws: CheckpointError.self) { try GGUFFile(url: url) }
    }
    var generator = Generator(state: 4)
    for index in 0..<400 {
      var changed = bytes
      changed[index] = UInt8.random(in: 0...255, using: &generator)
      guard let file = try? GGUFFile(url: folder.write(changed, to: "x.gguf")) else { continue }
      for name in file.names { _ = try? file.floats(name) }
    }
  }

  static let hostile: [(name: String, bytes: [UInt8], fault: String)] = {
    var list: [(name: String, bytes: [UInt8], fault: String)] = [
      ("nothing", [], "the end"),
      ("another magic", GGUFBytes.header(magic: 0x4655_4746, tensors: 0).bytes, "GGUF"),
      ("big-endian version", GGUFBytes.header(version: 3 << 24, tensors: 0).bytes, "version"),
      ("version 1", GGUFBytes.header(version: 1, tensors: 0).bytes, "version 1"),
      ("tensors without end", GGUFBytes.header(tensors: .max).bytes, "tensors"),
      ("values without end", GGUFBytes.header(tensors: 0, values: .max).bytes, "values"),
      ("one tensor that is not there", GGUFBytes.header(tensors: 1).bytes, "1 tensors"),
      ("five dimensions", GGUFBytes.file([1, 1, 1, 1, 1], data: 4), "5 dimensions"),
      ("size that overflows", GGUFBytes.file([1 << 40, 1 << 40], data: 4), "64 bits"),
      ("bytes that overflow", GGUFBytes.file([1 << 62], data: 4), "64 bits"),
      ("negative dimension", GGUFBytes.file([.max], data: 4), "63 bits"),
      ("larger than the file", GGUFBytes.file([1 << 40], data: 4), "4 bytes left"),
      ("one byte short", GGUFBytes.file([8], data: 31), "31 bytes left"),
      ("offset past the end", GGUFBytes.file([1], offset: 1 << 40, data: 4), "offset"),
      ("offset of all ones", GGUFBytes.file([1], offset: .max, data: 4), "offset"),
      ("unknown type", GGUFBytes.file([32], type: 12, data: 128), "type 12"),
      ("row of half a block", GGUFBytes.file([16, 2], type: 8, data: 34), "whole blocks"),
      ("blocks of a scalar", GGUFBytes.file([], type: 2, data: 18), "whole blocks"),
      ("long name", GGUFBytes.file([1], name: String(repeating: "a", count: 65), data: 4), "at most 64"),
    ]
    var twice = GGUFBytes.header(tensors: 2)
    twice.addTensor("a", [8])
    twice.addTensor("a", [8], offset: 32)
    twice.pad()
    list.append(("name twice", twice.bytes + [UInt8](repeating: 0, count: 64), "name twice"))
    var shared = GGUFBytes.header(tensors: 2)
    shared.addTensor("a", [8])
    shared.addTensor("b", [8])
    shared.pad()
    list.append(("shared bytes", shared.bytes + [UInt8](repeating: 0, count: 64), "offset of 0"))
    for alignment in [0, 3, 1 << 31] as [UInt32] {
      var file = GGUFBytes.header(tensors: 0, values: 1)
      file.add("general.alignment")
      file.add(UInt32(4))
      file.add(alignment)
      list.append(("alignment \(alignment)", file.bytes, "a power of two"))
    }
    func value(_ name: String, _ fault: String, _ fill: (inout GGUFBytes) -> Void) {
      var file = GGUFBytes.header(tensors: 0, values: 1)
      file.add("a key of some length")
      fill(&file)
      list.append((name, file.bytes, fault))
    }
    value("unknown value", "type 13") { $0.add(UInt32(13)) }
    value("string past the end", "bytes") { file in
      file.add(UInt32(8))
      file.add("x", length: .max)
    }
    value("array past the end", "the end") { file in
      file.add(UInt32(9))
      file.add(UInt32(12))
      file.add(UInt64.max / 4)
    }
    value("strings without end", "the end") { file in
      file.add(UInt32(9))
      file.add(UInt32(8))
      file.add(UInt64.max)
    }
    value("array of arrays", "array of type 9") { file in
      file.add(UInt32(9))
      file.add(UInt32(9))
      file.add(UInt64(1))
    }
    var keys = GGUFBytes.header(tensors: 0, values: 2)
    for _ in 0..<2 {
      keys.add("k")
      keys.add(UInt32(0))
      keys.add(UInt8(1))
    }
    keys.pad()
    list.append(("key twice", keys.bytes, "key twice"))
    return list
  }()

  @Test(arguments: hostile.indices) func refusesFilesThatLie(_ index: Int) throws {
    let lie = Self.hostile[index]
    let folder = try TemporaryFolder()
    let url = try folder.write(lie.bytes, to: "x.gguf")
    let error = #expect(throws: CheckpointError.self, "\(lie.name)") { try GGUFFile(url: url) }
    #expect(error?.kind == .malformedGGUF, "\(lie.name)")
    #expect(error?.description.contains(lie.fault) == true, "\(lie.name): \(String(describing: error))")
  }

  @Test func refusesStepsThatAreNotFinite() throws {
    let folder = try TemporaryFolder()
    var bytes = GGUFBytes.file([32], type: 8, data: 34)
    bytes[bytes.count - 33] = 0x7E
    let file = try GGUFFile(url: folder.write(bytes, to: "x.gguf"))
    let error = #expect(throws: CheckpointError.self) { try file.floats("a") }
    #expect(error?.kind == .malformedGGUF)
  }
}
