import DenseTensors
import Tensors

/// A point of a trajectory that a model is judged at.
public struct CalibrationSample: Sendable {
  /// What the UNet is given, `[height, width, channels]`.
  public let input: DenseTensor<Float>
  public let timestep: Double
  public let prompt: UNet2DConditionModel.Prompt

  public init(input: DenseTensor<Float>, timestep: Double, prompt: UNet2DConditionModel.Prompt) {
    self.input = input
    self.timestep = timestep
    self.prompt = prompt
  }
}

/// How much a head of an attention matters.
public struct HeadImportance: Hashable, Sendable {
  public let attention: String
  public let head: Int
  /// The change of the prediction when its mean takes its place, relative, root mean square over the samples.
  public let change: Double
}

/// How much a transformer or residual block matters.
public struct BlockImportance: Hashable, Sendable {
  public let block: String
  /// The change of the prediction when it is skipped, relative, root mean square over the samples.
  public let change: Double
}

/// Why a model cannot be pruned as asked.
public enum PruningError: Error, Hashable, Sendable, CustomStringConvertible {
  case invalidShare(Double)
  /// Every attention keeps a head.
  case tooManyHeads(asked: Int, removable: Int)
  case invalidBlockCount(Int, available: Int)
  case noSamples
  /// Of samples that are evaluated side by side.
  case invalidBatchSize(Int)

  public var description: String {
    switch self {
    case .invalidShare(let share):
      "the share of heads to remove is \(100 * share) %, expected 0 or more and less than 100"
    case .tooManyHeads(let asked, let removable):
      "\(asked) heads are to be removed, and \(removable) can be: every attention keeps one"
    case .invalidBlockCount(let count, let available): "\(count) blocks are to be removed, expected 0 to \(available)"
    case .noSamples: "there is nothing to judge the model by: no calibration samples"
    case .invalidBatchSize(let size): "the batch size is \(size), expected 1 or more"
    }
  }
}

/// Scores the heads and blocks of a UNet by what the prediction loses with each of them.
///
/// Heads as Michel et al. 2019, arXiv:1905.10650, section 2.2, ablate them, by measurement and not by a gradient.
/// Samples from a whole trajectory weigh alike: every change is relative to the prediction at its sample.
public struct PruningStudy: Sendable {
  public let model: UNet2DConditionModel
  private let batches: [Batch]
  private let headCounts: [String: Int]
  private let statistics: [String: HeadStatistics]
  private let memo = Memo()

  /// Scores that have been taken: choices that begin alike share them.
  private final class Memo: Sendable {
    let heads = Lock<[UNetAblation: [HeadImportance]]>([:])
    let blocks = Lock<[UNetAblation: [BlockImportance]]>([:])
  }

  private struct Batch: Sendable {
    let input: DenseTensor<Float>
    let timesteps: [Double]
    let prompts: [UNet2DConditionModel.Prompt]
    let prediction: DenseTensor<Float>
  }

  /// - Precondition: all inputs have one shape, the model's.
  /// - Throws: ``PruningError/noSamples``, ``PruningError/invalidBatchSize(_:)``.
  public init(_ model: UNet2DConditionModel, samples: [CalibrationSample], batchSize: Int = 16) throws(PruningError) {
    guard !samples.isEmpty else { throw .noSamples }
    guard batchSize > 0 else { throw .invalidBatchSize(batchSize) }
    self.model = model
    let present = model.configuration.remainingLayers
    let headCounts = Dictionary(
      uniqueKeysWithValues: present.compactMap { layer in layer.heads.map { (layer.name, $0) } })
    self.headCounts = headCounts
    var statistics: [String: HeadStatistics] = [:]
    var batches: [Batch] = []
    for first in stride(from: 0, to: samples.count, by: batchSize) {
      let own = samples[first..<min(first + batchSize, samples.count)]
      let input = DenseTensor.stacking(own.map(\.input))
      var outputs: [(String, DenseTensor<Float>)] = []
      var recorder = UNetProbe()
      recorder.attended = { outputs.append(($0, $1)) }
      let prediction = model(input, timesteps: own.map(\.timestep), prompts: own.map(\.prompt), probe: recorder)
      for (name, output) in outputs {
        statistics[name, default: HeadStatistics(width: output.shape[2])].add(output)
      }
      batches.append(
        Batch(input: input, timesteps: own.map(\.timestep), prompts: own.map(\.prompt), prediction: prediction))
    }
    self.batches = batches
    self.statistics = statistics
  }

  /// The change of the prediction without some layers, relative, root mean square over the samples.
  func change(without ablation: UNetAblation) -> Double {
    let probe = ablation.probe(headCounts: headCounts)
    var (sum, count) = (0.0, 0)
    for batch in batches {
      let prediction = model(batch.input, timesteps: batch.timesteps, prompts: batch.prompts, probe: probe)
      for image in batch.timesteps.indices {
        let (expected, found) = (batch.prediction[outer: image], prediction[outer: image])
        let squares = expected.innerProduct(expected)
        sum += (squares - 2 * expected.innerProduct(found) + found.innerProduct(found)) / max(squares, 1e-300)
        count += 1
      }
    }
    return max(sum / Double(count), 0).squareRoot()
  }

  /// Every head that could still be removed beside those of `ablation`, the least important first.
  func heads(beside ablation: UNetAblation = UNetAblation()) -> [HeadImportance] {
    if let known = memo.heads.withLock({ $0[ablation] }) { return known }
    var scores: [HeadImportance] = []
    for layer in model.configuration.remainingLayers where !ablation.blocks.contains(where: layer.isPart) {
      guard let count = layer.heads else { continue }
      let silent = ablation.heads[layer.name] ?? []
      guard silent.count + 1 < count else { continue }
      for head in 0..<count where !silent.contains(head) {
        var ablation = ablation
        ablation.heads[layer.name, default: []].insert(head)
        ablation.substitutes = substitutes(for: ablation)
        scores.append(HeadImportance(attention: layer.name, head: head, change: change(without: ablation)))
      }
    }
    scores.sort { $0.change < $1.change }
    memo.heads.withLock { $0[ablation] = scores }
    return scores
  }

  private func substitutes(for ablation: UNetAblation) -> [String: [Float]] {
    Dictionary(
      uniqueKeysWithValues: ablation.heads.keys.compactMap { name in
        statistics[name].map { (name, $0.means.map(Float.init)) }
      })
  }

  /// Every block that could still be removed beside those of `ablation`, the least important first.
  func blocks(beside ablation: UNetAblation = UNetAblation()) -> [BlockImportance] {
    if let known = memo.blocks.withLock({ $0[ablation] }) { return known }
    let scores = model.configuration.remainingLayers.filter { $0.isBlock && !ablation.blocks.contains($0.name) }
      .map { layer in
        var ablation = ablation
        ablation.blocks.insert(layer.name)
        return BlockImportance(block: layer.name, change: change(without: ablation))
      }
      .sorted { $0.change < $1.change }
    memo.blocks.withLock { $0[ablation] = scores }
    return scores
  }

  /// The importance of every head by itself, the least important first.
  public func headImportances() -> [HeadImportance] { heads() }

  /// The importance of every block by itself, the least important first.
  public func blockImportances() -> [BlockImportance] { blocks() }

  /// Chooses what to remove: first blocks, one by one, then heads of those that are left.
  ///
  /// - Parameters:
  ///   - headShare: the share of all heads, 0 or more and less than 1; every attention keeps one.
  ///   - rounds: heads are scored anew, beside those that are chosen, whenever another such part of all is gone. The
  ///     fewer of two choices then are the first of the more.
  /// - Throws: ``PruningError``.
  public func choose(
    headShare: Double = 0, blocks blockCount: Int = 0, compensation: HeadCompensation = .leastSquares, rounds: Int = 16
  ) throws(PruningError) -> PruningChoice {
    guard headShare >= 0, headShare < 1 else { throw .invalidShare(headShare) }
    let layers = model.configuration.remainingLayers
    let available = layers.count { $0.isBlock }
    guard (0...available).contains(blockCount) else {
      throw .invalidBlockCount(blockCount, available: available)
    }
    var ablation = UNetAblation()
    var removedBlocks: [BlockImportance] = []
    for _ in 0..<blockCount {
      let least = blocks(beside: ablation)[0]
      ablation.blocks.insert(least.block)
      removedBlocks.append(least)
    }
    let counts = layers.filter { layer in !ablation.blocks.contains(where: layer.isPart) }.compactMap(\.heads)
    let wanted = Int((headShare * Double(counts.reduce(0, +))).rounded())
    let removable = counts.reduce(0) { $0 + $1 - 1 }
    guard wanted <= removable else { throw .tooManyHeads(asked: wanted, removable: removable) }
    var removedHeads: [HeadImportance] = []
    while removedHeads.count < wanted {
      let target = min(wanted, removedHeads.count + max(1, counts.reduce(0, +) / max(rounds, 1)))
      for candidate in heads(beside: ablation) where removedHeads.count < target {
        let silent = ablation.heads[candidate.attention, default: []]
        guard silent.count + 1 < headCounts[candidate.attention] ?? 0 else { continue }
        ablation.heads[candidate.attention, default: []].insert(candidate.head)
        removedHeads.append(candidate)
      }
    }
    return PruningChoice(
      blocks: removedBlocks, heads: removedHeads, headCounts: headCounts,
      replacements: replacements(for: ablation, by: compensation))
  }

  private func replacements(
    for ablation: UNetAblation, by compensation: HeadCompensation
  ) -> [String: HeadReplacement] {
    var replacements: [String: HeadReplacement] = [:]
    for (name, heads) in ablation.heads {
      guard let count = headCounts[name], let statistics = statistics[name] else { continue }
      let dimension = statistics.width / count
      let columns = heads.sorted().flatMap { $0 * dimension..<($0 + 1) * dimension }
      replacements[name] = statistics.replacement(removing: columns, by: compensation)
    }
    return replacements
  }
}

/// What is to be removed of a UNet.
public struct PruningChoice: Sendable {
  /// In the order in which they were chosen, with the change that the prediction then had.
  public let blocks: [BlockImportance]
  public let heads: [HeadImportance]
  /// Of every attention of the model that was studied.
  let headCounts: [String: Int]
  /// Of attentions that lose heads.
  let replacements: [String: HeadReplacement]
}

extension UNetLayer {
  /// Whether it lies in the block of that name.
  func isPart(of block: String) -> Bool { name == block || name.hasPrefix(block + ".") }
}

extension UNetConfiguration {
  /// The layers that have not been removed, with the heads that they have left.
  var remainingLayers: [UNetLayer] {
    layerList.filter { layer in !pruning.blocks.contains(where: layer.isPart) }
      .map { layer in
        guard let heads = layer.heads else { return layer }
        return UNetLayer(name: layer.name, kind: .attention(heads: pruning.heads[layer.name] ?? heads))
      }
  }
}
