import Checkpoints
import Foundation
import Testing

/// A file that breaks one rule of the format, named for what is wrong with it.
struct HostileFile: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  /// The key that the error names, and a part of its description.
  let key: String?
  let fault: String

  var testDescription: String { name }

  /// A file of `header`, of the length it says or another, and `count` bytes after it.
  init(
    _ name: String, _ header: String, length: UInt64? = nil, count: Int = 0, key: String? = nil, fault: String
  ) {
    self.init(name, bytes: safetensors(header.utf8, length: length, count: count), key: key, fault: fault)
  }

  /// A file whose header has one tensor `a` with these fields.
  init(_ name: String, fields: String, count: Int = 0, key: String? = "a", fault: String) {
    self.init(name, #"{"a":{\#(fields)}}"#, count: count, key: key, fault: fault)
  }

  init(_ name: String, bytes: [UInt8], key: String? = nil, fault: String) {
    (self.name, self.bytes, self.key, self.fault) = (name, bytes, key, fault)
  }

  static let all: [HostileFile] = lengths + grammar + fields + sizes + tilings

  static let lengths = [
    HostileFile("empty file", bytes: [], fault: "0 bytes"),
    HostileFile("shorter than the length", bytes: [2, 0, 0, 0, 0, 0, 0], fault: "7 bytes"),
    HostileFile("length alone", bytes: [2, 0, 0, 0, 0, 0, 0, 0], fault: "header of 2 bytes"),
    HostileFile("length past the end", "{}", length: 3, fault: "header of 3 bytes"),
    HostileFile("length past the cap", "{}", length: 100_000_001, fault: "at most 100000000"),
    HostileFile("length past Int.max", "{}", length: 1 << 63, fault: "at most 100000000"),
    HostileFile("length of all ones", "{}", length: .max, fault: "at most 100000000"),
    HostileFile("length that wraps with the eight bytes before", "{}", length: .max - 7, fault: "at most 100000000"),
    HostileFile("length of zero", "", fault: "starts with `{`"),
    HostileFile("length that cuts the header", "{}", length: 1, fault: "found the end"),
  ]

  static let grammar = [
    HostileFile("header that starts with a space", " {}", fault: "starts with `{`"),
    HostileFile("header that is an array", "[]", fault: "starts with `{`"),
    HostileFile("padding with newlines", "{}\n\n", fault: "only spaces"),
    HostileFile("padding with zeros", "{}\0\0", fault: "only spaces"),
    HostileFile("second document after the header", "{}{}", fault: "only spaces"),
    HostileFile("trailing comma", #"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},}"#, fault: "a key"),
    HostileFile(
      "same name twice",
      #"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#,
      count: 1, key: "a", fault: "twice"),
    HostileFile(
      "same name twice, once escaped",
      #"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#,
      count: 1, key: "a", fault: "twice"),
    HostileFile("metadata twice", #"{"__metadata__":{},"__metadata__":{}}"#, key: "__metadata__", fault: "twice"),
    HostileFile("metadata key twice", #"{"__metadata__":{"a":"1","a":"2"}}"#, key: "__metadata__.a", fault: "twice"),
    HostileFile("metadata with a number", #"{"__metadata__":{"a":1}}"#, key: "__metadata__.a", fault: "a string"),
    HostileFile("metadata with an object", #"{"__metadata__":{"a":{}}}"#, key: "__metadata__.a", fault: "a string"),
    HostileFile("metadata that is null", #"{"__metadata__":null}"#, key: "__metadata__", fault: "`{`"),
    HostileFile("tensor that is null", #"{"a":null}"#, key: "a", fault: "`{`"),
    HostileFile(
      "tensor within a tensor, without end", String(repeating: #"{"a":"#, count: 100_000), key: "a.a",
      fault: "unknown field"),
    HostileFile("name with half a surrogate pair", #"{"\ud800":{}}"#, fault: "surrogate"),
    HostileFile("name with a control character", "{\"a\nb\":{}}", fault: "control character"),
    HostileFile("name that is not UTF-8", bytes: safetensors([0x7B, 0x22, 0xFF, 0x22, 0x3A]), fault: "UTF-8"),
  ]

  static let fields = [
    HostileFile("no fields", fields: "", fault: "field too few"),
    HostileFile("no dtype", fields: #""shape":[],"data_offsets":[0,1]"#, count: 1, fault: "field too few"),
    HostileFile("no shape", fields: #""dtype":"U8","data_offsets":[0,1]"#, count: 1, fault: "field too few"),
    HostileFile("no offsets", fields: #""dtype":"U8","shape":[]"#, count: 1, fault: "field too few"),
    HostileFile(
      "unknown field", fields: #""dtype":"U8","shape":[],"data_offsets":[0,1],"strides":[1]"#, count: 1,
      key: "a.strides", fault: "unknown field"),
    HostileFile(
      "dtype twice", fields: #""dtype":"U8","dtype":"F64","shape":[],"data_offsets":[0,1]"#, count: 1,
      key: "a.dtype", fault: "twice"),
    HostileFile(
      "unknown dtype", fields: #""dtype":"F31","shape":[],"data_offsets":[0,4]"#, count: 4, key: "a.dtype",
      fault: #""F31""#),
    HostileFile(
      "dtype in lower case", fields: #""dtype":"f32","shape":[],"data_offsets":[0,4]"#, count: 4, key: "a.dtype",
      fault: #""f32""#),
    HostileFile(
      "negative dimension", fields: #""dtype":"U8","shape":[-1],"data_offsets":[0,1]"#, count: 1, key: "a.shape",
      fault: "0 or greater"),
    HostileFile(
      "dimension with a fraction", fields: #""dtype":"U8","shape":[1.0],"data_offsets":[0,1]"#, count: 1,
      key: "a.shape", fault: "plain digits"),
    HostileFile(
      "dimension with an exponent", fields: #""dtype":"U8","shape":[1e0],"data_offsets":[0,1]"#, count: 1,
      key: "a.shape", fault: "plain digits"),
    HostileFile(
      "dimension past 64 bits", fields: #""dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]"#,
      count: 1, key: "a.shape", fault: "plain digits"),
    HostileFile(
      "negative offset", fields: #""dtype":"U8","shape":[],"data_offsets":[-1,0]"#, key: "a.data_offsets",
      fault: "0 or greater"),
    HostileFile("one offset", fields: #""dtype":"U8","shape":[],"data_offsets":[0]"#, fault: "[0]"),
    HostileFile("three offsets", fields: #""dtype":"U8","shape":[],"data_offsets":[0,1,2]"#, fault: "[0, 1, 2]"),
  ]

  static let sizes = [
    HostileFile("end before begin", fields: #""dtype":"U8","shape":[],"data_offsets":[1,0]"#, fault: "[1, 0]"),
    HostileFile(
      "bytes too few", fields: #""dtype":"F32","shape":[2],"data_offsets":[0,7]"#, count: 7, fault: "7 bytes"),
    HostileFile(
      "bytes too many", fields: #""dtype":"F32","shape":[2],"data_offsets":[0,9]"#, count: 9, fault: "9 bytes"),
    HostileFile(
      "bytes for an empty tensor", fields: #""dtype":"U8","shape":[0],"data_offsets":[0,1]"#, count: 1, fault: "1 bytes"
    ),
    HostileFile("no bytes for a scalar", fields: #""dtype":"U8","shape":[],"data_offsets":[0,0]"#, fault: "0 bytes"),
    HostileFile(
      "number of elements that wraps to 0",
      fields: #""dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]"#,
      fault: "fits 64 bits"),
    HostileFile(
      "size that wraps to 0", fields: #""dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]"#,
      fault: "more than 64 bits"),
    HostileFile(
      "huge size that does not wrap",
      fields: #""dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]"#,
      key: nil, fault: "0 bytes after the header"),
  ]

  static let tilings = [
    HostileFile(
      "end past the file", fields: #""dtype":"U8","shape":[2],"data_offsets":[0,2]"#, count: 1, key: nil,
      fault: "1 bytes after"),
    HostileFile(
      "bytes after the last tensor", fields: #""dtype":"U8","shape":[1],"data_offsets":[0,1]"#, count: 2, key: nil,
      fault: "2 bytes after"),
    HostileFile("bytes and no tensors", "{}", count: 1, fault: "1 bytes after"),
    HostileFile(
      "hole before the first tensor", fields: #""dtype":"U8","shape":[1],"data_offsets":[1,2]"#, count: 2,
      fault: "begin at 1"),
    HostileFile(
      "hole between tensors",
      #"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[],"data_offsets":[2,3]}}"#,
      count: 3, key: "b", fault: "begin at 2"),
    HostileFile(
      "tensors that share a byte",
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
      count: 3, key: "b", fault: "begin at 1"),
    HostileFile(
      "tensors in the same place",
      #"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[],"data_offsets":[0,1]}}"#,
      count: 1, key: nil, fault: "begin at 0"),
    HostileFile(
      "empty tensor within another",
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}"#,
      count: 2, key: "b", fault: "begin at 1"),
  ]
}

@Suite struct HostileSafetensorsTests {
  @Test(arguments: HostileFile.all)
  func refused(_ hostile: HostileFile) throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(hostile.bytes, to: "hostile.safetensors")
    let error = try #require(throws: CheckpointError.self) { try SafetensorsFile(url: file) }
    #expect(error.kind == .malformedSafetensors)
    #expect(error.file == file)
    if hostile.name != "tensors in the same place" { #expect(error.key == hostile.key) }
    #expect(error.description.contains(hostile.fault), "\(error)")
    #expect(!error.description.contains { $0.isNewline })
  }

  /// Whatever single bytes are changed to, the reader fails cleanly or reads within bounds.
  @Test func damagedFiles() throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"#
      + #""b":{"dtype":"I64","shape":[1,1],"data_offsets":[6,14]}}"#
    let sound = safetensors(header.utf8, count: 14)
    let file = try SafetensorsFile(url: folder.write(sound, to: "sound.safetensors"))
    #expect(try file.floats("a") == [0, 0, 0] && file.int64s("b") == [0])
    var (refused, read) = (0, 0)
    var generator = Generator(state: 3)
    for round in 0..<2000 {
      var bytes = sound
      bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      if round % 4 == 0 { bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator)) }
      let url = try folder.write(bytes, to: "damaged.safetensors")
      do {
        let file = try SafetensorsFile(url: url)
        for name in file.names {
          _ = try? file.floats(name)
          _ = try? file.int64s(name)
        }
        read += 1
      } catch {
        #expect(error.kind == .malformedSafetensors, "\(error)")
        refused += 1
      }
    }
    // Of 157 bytes 14 are numbers and a few are names; all others matter.
    #expect(refused > 1000 && read > 100, "\(refused) refused, \(read) read")
  }

  @Test func filesThatAreNone() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.url.appending(path: "pipe")
    try #require(mkfifo(pipe.path, 0o600) == 0)
    for url in [folder.url, folder.url.appending(path: "missing"), pipe] {
      let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(url: url) }
      #expect(error?.kind == .unreadableFile)
    }
  }
}
