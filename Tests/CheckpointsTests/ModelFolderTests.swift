import Checkpoints
import Foundation
import Testing

@Suite struct ModelFolderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private struct UNet: Decodable, Equatable {
    var width: Int
    var scale: Double
    var activation: Activation
    var blocks: [Block]

    enum CodingKeys: String, CodingKey {
      case width, scale, blocks
      case activation = "act_fn"
    }

    enum Activation: String, CaseIterable, Decodable {
      case silu, gelu
    }

    struct Block: Decodable, Equatable {
      var channels: Int
    }
  }

  private func model(_ configuration: String) throws -> ModelFolder {
    try folder.write(#"{"_class_name":"StableDiffusionPipeline"}"#, to: "model_index.json")
    try folder.write(configuration, to: "unet/config.json")
    return try ModelFolder(url: folder.url)
  }

  @Test func theBundledModel() throws {
    let model = try ModelFolder(url: Fixture.glyphs)
    #expect(model.className == "StableDiffusionPipeline")
    #expect(model.componentClasses["unet"]?.library == "diffusers")
    #expect(model.componentClasses["unet"]?.name == "UNet2DConditionModel")
    #expect(model.componentClasses["safety_checker"] == nil)
    #expect(try model.weights(component: "vae").contains("decoder.conv_in.weight"))
    struct Scheduler: Decodable {
      var betaStart: Double

      enum CodingKeys: String, CodingKey {
        case betaStart = "beta_start"
      }
    }
    let scheduler = try model.configuration(Scheduler.self, component: "scheduler", file: "scheduler_config.json")
    #expect(scheduler.betaStart == 0.00085)
  }

  @Test func componentsAreShared() throws {
    let model = try ModelFolder(url: Fixture.glyphsFlow, sharing: Fixture.glyphs)
    #expect(model.componentClasses["scheduler"]?.name == "FlowMatchEulerDiscreteScheduler")
    #expect(try model.componentURL("unet").deletingLastPathComponent().lastPathComponent == "glyphs-flow")
    #expect(try model.componentURL("vae").deletingLastPathComponent().lastPathComponent == "glyphs")
    let alone = try ModelFolder(url: Fixture.glyphsFlow)
    let error = #expect(throws: CheckpointError.self) { try alone.componentURL("vae") }
    #expect(error?.kind == .unreadableFile && error?.key == "vae")
  }

  @Test(arguments: ["..", ".", "", "../glyphs/vae", "/etc"])
  func componentsAreInTheFolder(name: String) throws {
    let model = try ModelFolder(url: Fixture.glyphs)
    #expect(throws: CheckpointError.self) { try model.componentURL(name) }
  }

  @Test(
    arguments: [
      ("", .malformedJSON, nil), ("[]", .malformedJSON, nil), ("{}", .badConfiguration, "_class_name"),
      (#"{"_class_name":1}"#, .malformedJSON, "_class_name"),
      (#"{"_class_name":"A","_class_name":"B"}"#, .malformedJSON, "_class_name"),
    ] as [(String, CheckpointError.Kind, String?)])
  func malformedIndices(index: String, kind: CheckpointError.Kind, key: String?) throws {
    try folder.write(index, to: "model_index.json")
    let error = try #require(throws: CheckpointError.self) { try ModelFolder(url: folder.url) }
    #expect(error.kind == kind)
    #expect(error.key == key)
  }

  @Test func noFolder() {
    let error = #expect(throws: CheckpointError.self) { try ModelFolder(url: folder.url.appending(path: "missing")) }
    #expect(error?.kind == .unreadableFile)
  }

  @Test func soundConfigurations() throws {
    let sound = #"{"width":1e2,"scale":-Infinity,"act_fn":"silu","blocks":[{"channels":3.0}],"unknown":[NaN,null]}"#
    let unet = try model(sound).configuration(UNet.self, component: "unet")
    #expect(unet == UNet(width: 100, scale: -.infinity, activation: .silu, blocks: [UNet.Block(channels: 3)]))
  }

  @Test(
    arguments: [
      (#""width":1.5"#, "width", "1.5", "an integer"),
      (#""width":"8""#, "width", "\"8\"", "an integer"),
      (#""width":null"#, "width", "null", "an integer"),
      (#""width":99999999999999999999"#, "width", "99999999999999999999", "an integer"),
      (#""width":1e19"#, "width", "1e19", "an integer"),
      (#""width":8,"scale":1e400"#, "scale", "1e400", "a number"),
      (#""width":8,"scale":true"#, "scale", "true", "a number"),
      (#""width":8,"scale":1,"act_fn":"tanh","blocks":[]"#, "act_fn", "\"tanh\"", #"one of "silu", "gelu""#),
      (#""width":8,"scale":1,"act_fn":"silu""#, "blocks", "nothing", "a value"),
      (#""width":8,"scale":1,"act_fn":"silu","blocks":{}"#, "blocks", "{}", "an array"),
      (
        #""width":8,"scale":1,"act_fn":"silu","blocks":[{"channels":1},{"channels":"x"}]"#, "blocks.1.channels",
        "\"x\"", "an integer"
      ),
      (#""width":8,"scale":1,"act_fn":"silu","blocks":[{"channels":1},7]"#, "blocks.1", "7", "an object"),
    ] as [(String, String, String, String?)])
  func badValues(fields: String, key: String, found: String, expected: String?) throws {
    let model = try model("{\(fields)}")
    let error = try #require(throws: CheckpointError.self) { try model.configuration(UNet.self, component: "unet") }
    #expect(error.kind == .badConfiguration)
    #expect(error.key == key)
    #expect(error.found == found)
    if let expected { #expect(error.expected == expected) }
    #expect(error.description.hasPrefix("unet/config.json: key `\(key)`: found \(found), expected "))
  }

  @Test(arguments: [
    "", "{", "{'width':1}", #"{"width":1,}"#, #"{"width":1,"width":2}"#, #"{"width":0x10}"#, "{} {}", "// one\n{}",
  ])
  func malformedConfigurations(text: String) throws {
    let model = try model(text)
    let error = try #require(throws: CheckpointError.self) { try model.configuration(UNet.self, component: "unet") }
    #expect(error.kind == .malformedJSON)
  }

  @Test func callersNameTheFile() throws {
    let url = try model("{}").configurationURL(component: "unet")
    let error = CheckpointError(.badConfiguration, file: url, key: "act_fn", found: "\"tanh\"", expected: "\"silu\"")
    #expect(error.description == #"unet/config.json: key `act_fn`: found "tanh", expected "silu""#)
    #expect("\(error.localizedDescription)" == error.description)
  }

  @Test func descriptionsAreOneShortLine() {
    let hostile = String(repeating: "\n\u{202E}\u{1B}[31m", count: 1000)
    let file = URL(filePath: "/x/config.json")
    let error = CheckpointError(.badConfiguration, file: file, key: hostile, found: hostile, expected: hostile)
    #expect(error.description.count < 7000)
    #expect(error.description.unicodeScalars.allSatisfy { $0.isASCII && $0 >= " " || $0 == "…" })
  }
}
