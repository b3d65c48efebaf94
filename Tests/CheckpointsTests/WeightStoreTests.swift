import Checkpoints
import Foundation
import Tensors
import Testing

@Suite struct WeightStoreTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ values: [String: Float], to name: String) throws {
    let tensors = values.map { SafetensorsWriter.Tensor(name: $0, shape: [1], values: .float32([$1])) }
    try SafetensorsWriter.write(tensors, to: folder.url.appending(path: name))
  }

  @Test(arguments: ["diffusion_pytorch_model.safetensors", "model.safetensors"])
  func singleFile(name: String) throws {
    try write(["a": 1, "b": 2], to: name)
    let store = try WeightStore(folder: folder.url)
    #expect(store.names == ["a", "b"])
    #expect(store.contains("a") && !store.contains("c"))
    #expect(try store.entry("a").shape == [1])
    #expect(store.unreadNames == ["a", "b"])
    #expect(try store.floats("b", shape: [1]) == [2])
    #expect(store.unreadNames == ["a"])
    let value = try withUnsafeTemporaryAllocation(of: Float.self, capacity: 1) { buffer in
      try store.read("a", shape: [1], into: buffer)
      return buffer[0]
    }
    #expect(value == 1)
    #expect(store.unreadNames.isEmpty)
  }

  @Test(arguments: ["diffusion_pytorch_model", "model"])
  func shards(name: String) throws {
    try write(["a": 1, "b": 2], to: "1.safetensors")
    try write(["c": 3], to: "2.safetensors")
    try folder.write(
      #"{"metadata":{"total_size":12},"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}"#,
      to: "\(name).safetensors.index.json")
    let store = try WeightStore(folder: folder.url)
    #expect(store.names == ["a", "b", "c"])
    #expect(try store.names.map { try store.floats($0) } == [[1], [2], [3]])
  }

  @Test func whatIsNotReadStaysUnread() throws {
    try write(["a": 1], to: "model.safetensors")
    let store = try WeightStore(folder: folder.url)
    let missing = #expect(throws: CheckpointError.self) { try store.floats("x") }
    #expect(missing?.kind == .missingTensor && missing?.key == "x")
    #expect(missing?.file.lastPathComponent == "model.safetensors")
    let misshapen = #expect(throws: CheckpointError.self) { try store.floats("a", shape: [2]) }
    #expect(misshapen?.kind == .misshapenTensor)
    let short = #expect(throws: CheckpointError.self) {
      try withUnsafeTemporaryAllocation(of: Float.self, capacity: 2) { try store.read("a", into: $0) }
    }
    #expect(short?.kind == .misshapenTensor)
    #expect(store.unreadNames == ["a"])
  }

  @Test(arguments: [
    "../1.safetensors", "/etc/passwd", "x/1.safetensors", "..", ".", "", #"x\\1.safetensors"#, #"1.safetensors\u0000"#,
  ])
  func pathsInAnIndexAreRefused(shard: String) throws {
    try write(["a": 1], to: "1.safetensors")
    try folder.write(#"{"weight_map":{"a":"\#(shard)"}}"#, to: "model.safetensors.index.json")
    let error = try #require(throws: CheckpointError.self) { try WeightStore(folder: folder.url) }
    #expect(error.kind == .malformedJSON)
    #expect(error.key == "weight_map.a")
  }

  @Test(
    arguments: [
      ("{}", .malformedJSON, "weight_map"),
      (#"{"weight_map":[]}"#, .malformedJSON, "weight_map"),
      (#"{"weight_map":{"a":1}}"#, .malformedJSON, "weight_map.a"),
      (#"{"weight_map":{"a":"1.safetensors","a":"1.safetensors"}}"#, .malformedJSON, "weight_map.a"),
      (#"{"weight_map":{"a":"1.safetensors"},"weight_map":{}}"#, .malformedJSON, "weight_map"),
      (#"{"weight_map":{"z":"1.safetensors"}}"#, .missingTensor, "z"),
      (#"{"weight_map":{"a":"2.safetensors"}}"#, .unreadableFile, nil),
      (#"{"weight_map":{}} {}"#, .malformedJSON, nil),
    ] as [(String, CheckpointError.Kind, String?)])
  func malformedIndices(index: String, kind: CheckpointError.Kind, key: String?) throws {
    try write(["a": 1], to: "1.safetensors")
    try folder.write(index, to: "model.safetensors.index.json")
    let error = try #require(throws: CheckpointError.self) { try WeightStore(folder: folder.url) }
    #expect(error.kind == kind)
    #expect(error.key == key)
  }

  @Test func noWeights() throws {
    let error = #expect(throws: CheckpointError.self) { try WeightStore(folder: folder.url) }
    #expect(error?.kind == .unreadableFile)
  }

  @Test func manyThreads() async throws {
    let names = (0..<64).map { "t\($0)" }
    try write(Dictionary(uniqueKeysWithValues: names.map { ($0, 1) }), to: "model.safetensors")
    let store = try WeightStore(folder: folder.url)
    try await withThrowingTaskGroup(of: [Float].self) { group in
      for name in names { group.addTask { try store.floats(name) } }
      for try await floats in group { #expect(floats == [1]) }
    }
    #expect(store.unreadNames.isEmpty)
  }
}
