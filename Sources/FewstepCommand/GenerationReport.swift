import Fewstep
import Foundation

/// What `generate` says when it is done, in words or as JSON.
struct GenerationReport: Encodable, CustomStringConvertible {
  /// Of a run with one; with several there is a list.
  let prompt: String?
  let prompts: [String]?
  let negativePrompt: String
  let model: String
  let preset: String?
  let solver: String
  /// Absent for adaptive solvers.
  let steps: Int?
  /// Of each image, all branches of guidance counted.
  let evaluations: [Int]
  /// How those of each image were made, with --step-cache.
  let stepCache: [StepCacheCounts]?
  let promptCache: CacheStatistics
  let guidanceMethod: String
  let guidance: Double
  let seed: UInt64
  let width: Int
  let height: Int
  let files: [String]
  let latents: String?
  let discardedText: [String]
  let precision: String
  /// Bytes, as planned.
  let memory: Int
  let residency: String
  /// The most bytes that the process had in memory, the program and its files among them; absent where nobody counts.
  let residentMemory: Int?
  /// Decibels of images in the format to those in single precision, with --check-quality.
  let qualityPSNR: Double?
  let milliseconds: Milliseconds

  struct Milliseconds: Encodable {
    let loading: Double
    let generating: Double
  }

  var description: String {
    let each = milliseconds.generating / Double(evaluations.count)
    let distinct = Set(evaluations).sorted()
    let counts = distinct.count > 1 ? "\(distinct[0]) to \(distinct[distinct.count - 1])" : "\(distinct[0])"
    let steps = steps.map { "\($0) steps, " } ?? ""
    let format = precision == Precision.float32.rawValue ? "" : "\(precision), "
    return
      ([
        "\(solver), \(steps)\(counts) evaluations, \(format)\(String(format: "%.0f", each)) ms per image, "
          + "\(ByteCount(memory)) of memory planned"
          + (residentMemory.map { ", \(ByteCount($0)) resident at most" } ?? "")
          + (qualityPSNR.map { String(format: ", %.1f dB to fp32", $0) } ?? "")
      ] + files).joined(separator: "\n")
  }
}
