import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

@Suite struct StoredTensorTests {
  static let shape: Shape = [6, 8, 4, 2]
  static let values = DoubleTensor(noise: NoiseField(seed: 3), shape: shape).values.map { Float($0) }

  private func file(_ format: StorageFormat, in folder: TemporaryFolder) throws -> SafetensorsFile {
    let stored = try #require(
      StoredTensor(name: "a.weight", shape: Self.shape, values: Self.values, format: format))
    let vector = try #require(StoredTensor(name: "a.bias", shape: [3], values: [1, 2, 3], format: nil))
    let url = folder.url.appending(path: "x.safetensors")
    try StoredTensor.write([stored, vector], format: format, to: url)
    return try SafetensorsFile(url: url)
  }

  @Test(arguments: StorageFormat.allCases) func readsWhatWasWritten(_ format: StorageFormat) throws {
    let folder = try TemporaryFolder()
    let file = try file(format, in: folder)
    #expect(file.storageFormat == format)
    // Steps are a part of their tensor.
    #expect(file.names == ["a.bias", "a.weight"])
    #expect(try file.entry("a.weight").shape == Self.shape)
    #expect(try file.floats("a.bias", shape: [3]) == [1, 2, 3])
    let result = try file.floats("a.weight", shape: Self.shape)
    let reference = DoubleTensor(Self.values.map(Double.init))
    let ratio = DoubleTensor(result.map(Double.init)).signalToNoise(against: reference)
    let least: Double =
      switch format {
      case .float16: 65
      case .bfloat16: 48
      case .int8, .int8Weights, .q8: 40
      case .q4: 18
      }
    #expect(ratio > least && ratio.isFinite, "\(ratio) dB")
  }

  /// What is stored of levels and blocks takes the bits that the format says.
  @Test func filesAreAsSmallAsTheyShouldBe() throws {
    let folder = try TemporaryFolder()
    func bytes(_ format: StorageFormat) throws -> Int {
      try file(format, in: folder).withUnsafeBytes(of: "a.weight") { $0.count }
    }
    let count = Self.shape.count
    #expect(try bytes(.float16) == 2 * count && bytes(.bfloat16) == 2 * count)
    #expect(try bytes(.int8) == count && bytes(.int8Weights) == count)
    #expect(try bytes(.q8) == count / 32 * 34 && bytes(.q4) == count / 32 * 18)
  }

  @Test func refusesWhatAFormatCannotHold() {
    func stored(_ shape: Shape, _ values: [Float], _ format: StorageFormat) -> StoredTensor? {
      StoredTensor(name: "a", shape: shape, values: values, format: format)
    }
    for format in [StorageFormat.int8, .int8Weights, .q8, .q4] {
      #expect(stored([1, 32], Array(repeating: .infinity, count: 32), format) == nil)
      #expect(stored([0, 32], [], format) == nil)
      #expect(stored([], [1], format) == nil)
    }
    // Blocks must not reach over the outputs.
    #expect(stored([2, 16], Array(repeating: 1, count: 32), .q8) == nil)
  }

  /// Quantized files that lie, with the key that the error names and a part of what it says.
  static let hostile: [(name: String, header: String, bytes: Int, key: String, fault: String)] = [
    (
      "unknown format",
      #"{"__metadata__":{"fewstep.format":"int3"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
      1, "fewstep.format", "int3"
    ),
    (
      "no steps", #"{"__metadata__":{"fewstep.format":"int8"},"a":{"dtype":"I8","shape":[2,3],"data_offsets":[0,6]}}"#,
      6, "a.step", "nothing"
    ),
    (
      "steps too few",
      #"{"__metadata__":{"fewstep.format":"int8"},"a.step":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
        + #""a":{"dtype":"I8","shape":[2,3],"data_offsets":[4,10]}}"#, 10, "a.step", "F32 [1]"
    ),
    (
      "steps of another type",
      #"{"__metadata__":{"fewstep.format":"int8-weights"},"a.step":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#
        + #""a":{"dtype":"I8","shape":[2,3],"data_offsets":[4,10]}}"#, 10, "a.step", "F16"
    ),
    (
      "no shape of blocks",
      #"{"__metadata__":{"fewstep.format":"q8_0"},"a":{"dtype":"U8","shape":[34],"data_offsets":[0,34]}}"#, 34, "a",
      "nothing in the metadata"
    ),
    (
      "shape of words",
      #"{"__metadata__":{"fewstep.format":"q8_0","a":"4,x"},"a":{"dtype":"U8","shape":[34],"data_offsets":[0,34]}}"#,
      34, "a", "4,x"
    ),
    (
      "negative shape",
      #"{"__metadata__":{"fewstep.format":"q8_0","a":"-4,-8"},"a":{"dtype":"U8","shape":[34],"data_offsets":[0,34]}}"#,
      34, "a", "-4,-8"
    ),
    (
      "shape that overflows",
      #"{"__metadata__":{"fewstep.format":"q4_0","a":"4294967296,4294967296"},"#
        + #""a":{"dtype":"U8","shape":[18],"data_offsets":[0,18]}}"#, 18, "a", "4294967296"
    ),
    (
      "larger shape than blocks",
      #"{"__metadata__":{"fewstep.format":"q4_0","a":"1,64"},"a":{"dtype":"U8","shape":[18],"data_offsets":[0,18]}}"#,
      18, "a", "18 bytes"
    ),
    (
      "huge shape",
      #"{"__metadata__":{"fewstep.format":"q4_0","a":"1152921504606846976,4"},"#
        + #""a":{"dtype":"U8","shape":[18],"data_offsets":[0,18]}}"#, 18, "a", "18 bytes"
    ),
    (
      "part of a block",
      #"{"__metadata__":{"fewstep.format":"q8_0","a":"1,31"},"a":{"dtype":"U8","shape":[33],"data_offsets":[0,33]}}"#,
      33, "a", "33 bytes"
    ),
  ]

  @Test(arguments: hostile.indices) func refusesFilesThatLie(_ index: Int) throws {
    let lie = Self.hostile[index]
    let folder = try TemporaryFolder()
    let url = try folder.write(safetensors(lie.header.utf8, count: lie.bytes), to: "x.safetensors")
    let error = #expect(throws: CheckpointError.self, "\(lie.name)") { try SafetensorsFile(url: url) }
    #expect(error?.kind == .malformedSafetensors && error?.key == lie.key, "\(lie.name): \(String(describing: error))")
    #expect(error?.description.contains(lie.fault) == true, "\(lie.name): \(String(describing: error))")
  }

  @Test func refusesStepsThatAreNotFinite() throws {
    let folder = try TemporaryFolder()
    let blocks =
      #"{"__metadata__":{"fewstep.format":"q8_0","a":"1,32"},"a":{"dtype":"U8","shape":[34],"data_offsets":[0,34]}}"#
    var bytes = safetensors(blocks.utf8, count: 34)
    bytes[bytes.count - 33] = 0x7C
    bytes[bytes.count - 1] = 1
    let levels =
      #"{"__metadata__":{"fewstep.format":"int8"},"a.step":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
      + #""a":{"dtype":"I8","shape":[1,2],"data_offsets":[4,6]}}"#
    var other = safetensors(levels.utf8, count: 6)
    other.replaceSubrange(other.count - 6..<other.count, with: [0, 0, 0xC0, 0x7F, 1, 1])
    for (name, bytes) in [("blocks", bytes), ("levels", other)] {
      let file = try SafetensorsFile(url: folder.write(bytes, to: name))
      let error = #expect(throws: CheckpointError.self) { try file.floats("a") }
      #expect(error?.kind == .malformedSafetensors && error?.key == "a")
    }
  }

  /// In files of other programs, levels are levels and bytes are bytes.
  @Test func leavesForeignFilesAlone() throws {
    let folder = try TemporaryFolder()
    let url = try folder.write(
      safetensors(#"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#.utf8, count: 2), to: "x.safetensors")
    let file = try SafetensorsFile(url: url)
    #expect(file.storageFormat == nil && file.names == ["a"])
    #expect(try file.int64s("a") == [0, 0])
    #expect(throws: CheckpointError.self) { try file.floats("a") }
  }
}
