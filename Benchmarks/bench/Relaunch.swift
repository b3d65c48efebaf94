#if DEBUG
  import Foundation

  /// A debug build measures nothing worth knowing: it builds the release program and becomes it.
  enum Relaunch {
    struct Failure: Error, CustomStringConvertible {
      let description: String
    }

    static func inRelease(arguments: [String]) throws -> Never {
      FileHandle.standardError.write(Data("bench: this is a debug build; building and running the release one\n".utf8))
      let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
      let options = ["--configuration", "release", "--package-path", package]
      guard try status(of: ["swift", "build", "--product", "bench"] + options) == 0 else {
        throw Failure(description: "the release build failed")
      }
      var command: [UnsafeMutablePointer<CChar>?] =
        (["swift", "run", "--skip-build"] + options + ["bench"] + arguments).map { strdup($0) } + [nil]
      execvp("swift", &command)
      throw Failure(description: "swift cannot be run: \(String(cString: strerror(errno)))")
    }

    private static func status(of command: [String]) throws -> Int32 {
      let process = Process()
      process.executableURL = URL(filePath: "/usr/bin/env")
      process.arguments = command
      // What is printed here belongs to the build, not to the tables.
      process.standardOutput = FileHandle.standardError
      try process.run()
      process.waitUntilExit()
      return process.terminationStatus
    }
  }
#endif
