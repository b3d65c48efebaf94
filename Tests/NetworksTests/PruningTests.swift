import Checkpoints
import DenseTensors
import Foundation
import Networks
import Tensors
import Testing

@testable import Networks

/// Heads and blocks that are scored, removed, written and read back.
@Suite("Pruning")
struct PruningTests {
  let folder: ModelFolder
  let model: UNet2DConditionModel
  let samples: [CalibrationSample]

  init() throws {
    folder = try ModelFolder(url: Fixtures.glyphs)
    let model = try UNet2DConditionModel(folder)
    self.model = model
    samples = (0..<4).map { index in
      let field = NoiseField(seed: 5, image: UInt32(index))
      let prompt = DenseTensor<Float>(
        noise: NoiseField(seed: 6, image: UInt32(index)), shape: [7, model.configuration.contextWidth])
      return CalibrationSample(
        input: DenseTensor(noise: field, shape: [16, 16, 4]), timestep: 950 - 300 * Double(index),
        prompt: model.prepare(prompt))
    }
  }

  private func withPruned<Result>(
    _ choice: PruningChoice, _ body: (ModelFolder) throws -> Result
  ) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    try folder.writePruned(choice, to: url)
    return try body(ModelFolder(url: url))
  }

  private func predict(
    _ model: UNet2DConditionModel, tokenMerging: Double = 0, probe: UNetProbe? = nil,
    perturbations: [UNetPerturbation?] = []
  ) -> DenseTensor<Float> {
    // Prompts are projected by each model itself.
    let prompts = samples.indices.map { index in
      model.prepare(
        DenseTensor(noise: NoiseField(seed: 6, image: UInt32(index)), shape: [7, model.configuration.contextWidth]))
    }
    return model(
      .stacking(samples.map(\.input)), timesteps: samples.map(\.timestep), prompts: prompts,
      perturbations: perturbations, tokenMerging: tokenMerging, probe: probe)
  }

  /// The folder's model is the whole one with the heads and blocks silenced.
  @Test(arguments: [(0.0, 1), (0.25, 0), (0.5, 2)])
  func removedIsSilenced(_ share: Double, _ blocks: Int) throws {
    let study = try PruningStudy(model, samples: samples)
    let choice = try study.choose(headShare: share, blocks: blocks, compensation: .none, rounds: 1)
    var ablation = UNetAblation(blocks: Set(choice.blocks.map(\.block)))
    for head in choice.heads { ablation.heads[head.attention, default: []].insert(head.head) }
    let counts = model.configuration.layerList.compactMap { layer in layer.heads.map { (layer.name, $0) } }
    let silenced = predict(model, probe: ablation.probe(headCounts: Dictionary(uniqueKeysWithValues: counts)))
    try withPruned(choice) { folder in
      let pruned = try UNet2DConditionModel(folder)
      #expect(pruned.weightBytes < model.weightBytes)
      let heads = pruned.configuration.remainingLayers.compactMap(\.heads).reduce(0, +)
      #expect(choice.blocks.count == blocks && pruned.configuration.pruning.blocks.count == blocks)
      if blocks == 0 { #expect(heads == 56 - Int((56 * share).rounded())) }
      let output = predict(pruned)
      #expect(output.relativeError(to: silenced) < 1e-6)
      #expect(output.relativeError(to: predict(model)) > 1e-4)
    }
  }

  @Test func nothingRemovedIsNothingChanged() throws {
    let choice = try PruningStudy(model, samples: samples).choose()
    try withPruned(choice) { folder in
      let same = try UNet2DConditionModel(folder)
      #expect(same.weightBytes == model.weightBytes)
      #expect(predict(same) == predict(model))
      let (old, new) = (try self.folder.weights(component: "unet"), try folder.weights(component: "unet"))
      #expect(old.names == new.names)
      for name in old.names {
        #expect(try old.floats(name) == new.floats(name))
        #expect(try old.entry(name).dataType == new.entry(name).dataType)
      }
    }
    #expect(predict(model, probe: UNetProbe()) == predict(model))
  }

  /// A folder that lost something can lose more.
  @Test func prunedTwice() throws {
    let first = try PruningStudy(model, samples: samples).choose(headShare: 0.25, blocks: 1, rounds: 1)
    try withPruned(first) { folder in
      let pruned = try UNet2DConditionModel(folder)
      let ownSamples = samples.indices.map { index in
        CalibrationSample(
          input: samples[index].input, timestep: samples[index].timestep,
          prompt: pruned.prepare(
            DenseTensor(noise: NoiseField(seed: 6, image: UInt32(index)), shape: [7, model.configuration.contextWidth]))
        )
      }
      let second = try PruningStudy(pruned, samples: ownSamples).choose(headShare: 0.25, blocks: 1, rounds: 1)
      let url = FileManager.default.temporaryDirectory.appending(path: "fewstep-\(UUID().uuidString)")
      defer { try? FileManager.default.removeItem(at: url) }
      try folder.writePruned(second, to: url)
      let twice = try UNet2DConditionModel(ModelFolder(url: url))
      #expect(twice.configuration.pruning.blocks.count == 2 && twice.weightBytes < pruned.weightBytes)
      #expect(predict(twice).elements.allSatisfy { $0.isFinite })
    }
  }

  /// The more is made up for, the less the prediction changes on the samples that it was fitted to.
  @Test func compensationHelps() throws {
    let study = try PruningStudy(model, samples: samples)
    let errors = try HeadCompensation.allCases.map { compensation in
      try withPruned(study.choose(headShare: 0.4, compensation: compensation, rounds: 1)) {
        predict(try UNet2DConditionModel($0)).relativeError(to: predict(model))
      }
    }
    print("40 % of heads: nothing made up for \(errors[0]), mean \(errors[1]), least squares \(errors[2])")
    #expect(errors[2] < errors[1] && errors[1] < errors[0])
  }

  /// Heads whose output is an affine function of the others' are replaced without loss.
  @Test func leastSquaresFindsWhatIsThere() {
    let rows: [[Float]] = (0..<40).map { row in
      let (a, b) = (Float((row * 7) % 11), Float((row * 5) % 13))
      return [a, 2 * a - b + 3, b]
    }
    var statistics = HeadStatistics(width: 3)
    statistics.add(DenseTensor(rows.flatMap { $0 }, shape: [2, 20, 3]))
    let replacement = statistics.replacement(removing: [1], by: .leastSquares)
    for (found, expected) in zip(replacement.weights + replacement.constants, [2, -1, 3] as [Double]) {
      #expect(abs(found - expected) < 1e-4)
    }
    let folded = replacement.fold([1, 10, 100], [1000])
    for (found, expected) in zip(folded.weights + folded.bias, [21, 90, 1030] as [Float]) {
      #expect(abs(found - expected) < 1e-2)
    }
  }

  @Test func impossibleWishesAreErrors() throws {
    #expect(throws: PruningError.noSamples) { try PruningStudy(model, samples: []) }
    #expect(throws: PruningError.invalidBatchSize(0)) { try PruningStudy(model, samples: samples, batchSize: 0) }
    let study = try PruningStudy(model, samples: Array(samples.prefix(1)))
    for share in [-0.1, 1, 25, .infinity] {
      #expect(throws: PruningError.invalidShare(share)) { try study.choose(headShare: share) }
    }
    #expect(throws: PruningError.self) { try study.choose(headShare: .nan) }
    #expect(throws: PruningError.tooManyHeads(asked: 45, removable: 42)) { try study.choose(headShare: 0.8) }
    #expect(throws: PruningError.invalidBlockCount(19, available: 18)) { try study.choose(blocks: 19) }
    #expect(throws: PruningError.invalidBlockCount(-1, available: 18)) { try study.choose(blocks: -1) }
    try withPruned(study.choose()) { folder in
      // There is a model already.
      _ = #expect(throws: CheckpointError.self) { try self.folder.writePruned(study.choose(), to: folder.url) }
    }
  }

  static let attention = "mid_block.attentions.0.transformer_blocks.0.attn1"

  @Test func brokenConfigurationsAreErrors() throws {
    let broken: [(Any, String)] = [
      (7, "fewstep_pruning"), (["heads": 3], "fewstep_pruning.heads"), (["blocks": "mid"], "fewstep_pruning.blocks"),
      (["blocks": ["mid_block"]], "fewstep_pruning.blocks"), (["blocks": [3]], "fewstep_pruning.blocks"),
      (["layers": [String]()], "fewstep_pruning.layers"),
      (["heads": ["mid_block.attentions.0": 1]], "fewstep_pruning.heads.mid_block.attentions.0"),
      (["heads": [Self.attention: 0]], "fewstep_pruning.heads.\(Self.attention)"),
      (["heads": [Self.attention: 1_000_000]], "fewstep_pruning.heads.\(Self.attention)"),
      (["heads": [Self.attention: 1.5]], "fewstep_pruning.heads.\(Self.attention)"),
    ]
    for (value, key) in broken {
      let error = try #require(try BrokenModelTests.error("unet-sd", ["fewstep_pruning": value]), "\(value)")
      #expect(error.kind == .badConfiguration && error.key == key, "\(error)")
    }
    // A count that the weights do not bear out.
    let error = try #require(
      try BrokenModelTests.error("unet-sd", ["fewstep_pruning": ["heads": [Self.attention: 1]]]))
    #expect(error.kind == .misshapenTensor)
    #expect(
      try BrokenModelTests.error("unet-sd", ["fewstep_pruning": ["blocks": ["mid_block.attentions.0"]]]) == nil)
    #expect(
      try BrokenModelTests.error("unet-sd", ["layers_per_block": 9000, "fewstep_pruning": ["heads": [:]]])?.key
        == "layers_per_block")
  }

  /// Of each image by itself, and nothing at all at 0.
  @Test func tokensAreMergedByImage() throws {
    let plain = predict(model)
    #expect(predict(model, tokenMerging: 0) == plain)
    let merged = predict(model, tokenMerging: 0.5)
    let error = merged.relativeError(to: plain)
    print("half of the tokens merged: \(error)")
    #expect(error > 1e-4 && error < 0.2)
    #expect(predict(model, tokenMerging: 0.25).relativeError(to: plain) < error)
    // There is no more to merge than three of four.
    #expect(predict(model, tokenMerging: 0.75) == predict(model, tokenMerging: 1))
    for index in samples.indices {
      let alone = model(
        .stacking([samples[index].input]), timesteps: [samples[index].timestep], prompts: [samples[index].prompt],
        tokenMerging: 0.5)
      #expect(alone[outer: 0] == merged[outer: index])
    }
    // Disturbed images are not merged, and disturb nobody.
    let perturbation = try model.perturbation(.identityAttention, layers: ["down_blocks.1", "mid_block"])
    let mixed = predict(model, tokenMerging: 0.5, perturbations: [nil, perturbation, nil, nil])
    #expect(mixed[outer: 0] == merged[outer: 0] && mixed[outer: 3] == merged[outer: 3])
    #expect(mixed[outer: 1] != merged[outer: 1])
  }

  @Test func tokensOfOddPictures() {
    let hidden = DenseTensor<Float>(noise: NoiseField(seed: 3), shape: [2, 15, 8])
    let merging = TokenMerging(hidden, size: (3, 5), ratio: 0.9)
    #expect(merging.count == 6)
    let ones = merging.merge(DenseTensor(repeating: 1, shape: [2, 15, 8]))
    #expect(ones == DenseTensor(repeating: 1, shape: [2, 6, 8]))
    #expect(merging.spread(ones, onto: hidden) == hidden.adding(DenseTensor(repeating: 1, shape: hidden.shape)))
  }
}
