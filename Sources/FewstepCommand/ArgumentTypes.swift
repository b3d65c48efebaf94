import ArgumentParser
import Fewstep
import Foundation

extension NoiseKind: ExpressibleByArgument {}
extension StepCache: ExpressibleByArgument {}
extension Residency: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {
  public init?(argument: String) { self.init(named: argument) }

  public static var allValueStrings: [String] { allCases.map(\.shortName) }
}

extension Preset: ExpressibleByArgument {
  public init?(argument: String) {
    self.init(named: argument)
  }

  /// The name and the choices.
  var line: String {
    let images = batchSize == 1 ? "images one by one" : "\(batchSize) images at a time"
    let grid = spacing.map { ", \($0.rawValue) grid" } ?? ""
    return "  \(name): \(solver ?? "the model's solver"), \(steps) steps\(grid), \(precision.rawValue), \(images)"
  }
}

/// An amount of memory: bytes, or thousands, millions and thousand millions of them with K, M or G.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) {
    self.bytes = bytes
  }

  init?(argument: String) {
    let factors: [Character: Double] = ["K": 1e3, "M": 1e6, "G": 1e9]
    let factor = argument.uppercased().last.flatMap { factors[$0] }
    guard let number = Double(factor == nil ? argument[...] : argument.dropLast()) else { return nil }
    let bytes = number * (factor ?? 1)
    guard bytes >= 0, bytes < 1e18 else { return nil }
    self.bytes = Int(bytes)
  }

  var description: String {
    bytes < 1_000_000_000 ? "\((bytes + 999_999) / 1_000_000) MB" : String(format: "%.2f GB", Double(bytes) / 1e9)
  }
}

/// A size such as 512x512.
struct PixelSize: ExpressibleByArgument {
  let width: Int
  let height: Int

  init?(argument: String) {
    let sides = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1] else { return nil }
    self.width = width
    self.height = height
  }
}
