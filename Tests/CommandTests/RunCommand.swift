import Foundation
import Testing

/// A run of one of the package's programs.
struct CommandResult {
  let status: Int32
  let output: String
  let errors: String

  /// Runs the program that was built next to the tests, in `folder`.
  ///
  /// - Parameter addressSpace: the most that the program may reserve, in kilobytes.
  init(
    _ program: String, _ arguments: [String], in folder: URL? = nil, environment: [String: String] = [:],
    addressSpace: Int? = nil
  ) throws {
    let process = Process()
    let executable = Self.products.appending(path: program)
    if let addressSpace {
      process.executableURL = URL(filePath: "/bin/sh")
      process.arguments = ["-c", #"ulimit -v \#(addressSpace) && exec "$0" "$@""#, executable.path] + arguments
    } else {
      process.executableURL = executable
      process.arguments = arguments
    }
    process.currentDirectoryURL = folder
    // argument-parser wraps its help to the terminal's width.
    process.environment = ProcessInfo.processInfo.environment.merging(["COLUMNS": "100"]) { $1 }.merging(environment) {
      $1
    }
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let collected = try errors.fileHandleForReading.collectInBackground()
    self.output = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    self.errors = collected()
    status = process.terminationStatus
  }

  /// The folder of the built programs: beside the test bundle.
  private static let products: URL = {
    let arguments = ProcessInfo.processInfo.arguments
    let bundle = arguments.firstIndex(of: "--test-bundle-path").map { arguments[$0 + 1] } ?? arguments[0]
    var folder = URL(filePath: bundle).deletingLastPathComponent()
    while folder.path.contains(".xctest") { folder.deleteLastPathComponent() }
    return folder
  }()
}

extension FileHandle {
  /// Reads to the end on a thread of its own, so that neither pipe can fill up; the closure waits for the text.
  fileprivate func collectInBackground() throws -> () -> String {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var data = Data()
    nonisolated(unsafe) let handle = self
    DispatchQueue.global().async {
      data = (try? handle.readToEnd()) ?? Data()
      done.signal()
    }
    return {
      done.wait()
      return String(decoding: data, as: UTF8.self)
    }
  }
}

/// The bundled model's folder.
let glyphs = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().appending(path: "Sources/Glyphs/Resources/glyphs")

/// A folder that lasts as long as the test that uses it.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}

func contents(of folder: URL) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
}
