import DenseTensors
import Networks
import Sampling
import Tensors

/// What a step cache remembers of images on their way: one run's, whose images are numbered as the run does.
///
/// Not `Sendable`: every evaluation changes it, and the evaluations of a run follow one another.
public final class StepCacheMemory {
  public let cache: StepCache
  private var slots: [Slot: Memory] = [:]
  private var counts: [Int: StepCacheCounts] = [:]
  private var arenas: [ComputationKind.Part: ActivationMemory<ComputationKind>] = [:]

  private struct Slot: Hashable {
    let image: Int
    let branch: GuidanceBranch
  }

  private struct Memory {
    var history = FeatureHistory()
    var fullCount = 0
    var sinceFull = 0
    /// The first block's newest output, and its changes since the last full evaluation.
    var firstBlock: DenseTensor<Float>?
    var change = 0.0
  }

  public init(_ cache: StepCache) {
    self.cache = cache
  }

  /// How the evaluations of an image of the run were made.
  public func counts(of image: Int) -> StepCacheCounts { counts[image] ?? StepCacheCounts() }

  /// What is remembered, in bytes: at most order + 1 tensors for each image and branch, and one more where changes are
  /// measured.
  public var byteCount: Int {
    slots.values.reduce(0) {
      $0 + $1.history.byteCount + ($1.firstBlock.map { $0.shape.count * MemoryLayout<Float>.stride } ?? 0)
    }
  }

  /// Forgets all but the counts: the next evaluation of each image is full.
  public func removeAll() {
    slots.removeAll()
    arenas.removeAll()
  }

  /// The model's outputs, of which some are computed in full.
  func outputs(
    of inputs: DenoiserInputs, with model: UNet2DConditionModel, plans: ActivationMemory<ComputationKind>.Plans
  ) -> [DenseTensor<Float>] {
    switch cache.reuse {
    case .output: outputs(of: inputs, model, plans)
    case .deepFeatures(let depth): outputs(of: inputs, depth: depth, model, plans)
    }
  }

  private func outputs(
    of inputs: DenoiserInputs, _ model: UNet2DConditionModel, _ plans: ActivationMemory<ComputationKind>.Plans
  ) -> [DenseTensor<Float>] {
    let full = fullRequests(inputs)
    var outputs: [DenseTensor<Float>?] = inputs.indices.map { index in
      full.contains(index) ? nil : carriedOn(inputs, index)
    }
    if !full.isEmpty {
      let own = inputs[full]
      let computed = arena(.whole, plans).run(own.kind(.whole)) { own.evaluate(model) }
      for (place, index) in full.enumerated() {
        outputs[index] = computed[outer: place]
        remember(outputs[index]!, of: inputs, index)
      }
    }
    for index in inputs.indices {
      counts[inputs.images[index], default: .init()].count(full.contains(index) ? \.full : \.skipped)
    }
    return outputs.map { $0! }
  }

  private func outputs(
    of inputs: DenoiserInputs, depth: Int, _ model: UNet2DConditionModel,
    _ plans: ActivationMemory<ComputationKind>.Plans
  ) -> [DenseTensor<Float>] {
    var maps: [DenseTensor<Float>]?
    if case .change = cache.schedule {
      maps = arena(.shallow(depth), plans).run(inputs.kind(.shallow(depth))) {
        inputs.shallowMaps(model, depth: depth)
      }
      for index in inputs.indices { measureChange(of: maps!.last![outer: index], inputs, index) }
    }
    let full = fullRequests(inputs)
    let reusing = inputs.indices.filter { !full.contains($0) }
    let deep = reusing.map { carriedOn(inputs, $0) }
    var outputs: [DenseTensor<Float>?] = Array(repeating: nil, count: inputs.indices.count)
    for (requests, deep) in [(full, nil), (reusing, deep)] where !requests.isEmpty {
      let own = inputs[requests]
      let ownMaps = maps.map { $0.map { map in DenseTensor.stacking(requests.map { map[outer: $0] }) } }
      let ownDeep = deep.map { DenseTensor.stacking($0) }
      let part = ComputationKind.Part.cut(depth, isDeep: deep == nil, hasMaps: maps != nil)
      let result = arena(part, plans).run(own.kind(part)) {
        own.finish(model, ownMaps ?? own.shallowMaps(model, depth: depth), deep: ownDeep)
      }
      for (place, index) in requests.enumerated() {
        outputs[index] = result.output[outer: place]
        if deep == nil { remember(result.deep[outer: place], of: inputs, index) }
        counts[inputs.images[index], default: .init()].count(deep == nil ? \.full : \.partial)
      }
    }
    return outputs.map { $0! }
  }

  /// Whole images, each decided by itself.
  private func fullRequests(_ inputs: DenoiserInputs) -> [Int] {
    var needy: Set<Int> = []
    for index in inputs.indices where needsFull(inputs, index) { needy.insert(inputs.images[index]) }
    let full = inputs.indices.filter { needy.contains(inputs.images[$0]) }
    for index in inputs.indices {
      slots[slot(inputs, index), default: Memory()].sinceFull += 1
    }
    return full
  }

  private func needsFull(_ inputs: DenoiserInputs, _ index: Int) -> Bool {
    guard let memory = slots[slot(inputs, index)], memory.fullCount >= max(cache.warmUp, cache.order + 1) else {
      return true
    }
    return switch cache.schedule {
    case .interval(let interval): memory.sinceFull + 1 >= interval
    case .change(let threshold): !(memory.change <= threshold)
    }
  }

  private func measureChange(of map: DenseTensor<Float>, _ inputs: DenoiserInputs, _ index: Int) {
    var memory = slots[slot(inputs, index)] ?? Memory()
    if let earlier = memory.firstBlock { memory.change += map.relativeError(to: earlier) }
    memory.firstBlock = map
    slots[slot(inputs, index)] = memory
  }

  private func carriedOn(_ inputs: DenoiserInputs, _ index: Int) -> DenseTensor<Float> {
    slots[slot(inputs, index)]!.history.value(at: inputs.lambdas[index])!
  }

  private func remember(_ value: DenseTensor<Float>, of inputs: DenoiserInputs, _ index: Int) {
    var memory = slots[slot(inputs, index)] ?? Memory()
    memory.history.add(value, at: inputs.lambdas[index], keeping: cache.order + 1)
    memory.fullCount += 1
    memory.sinceFull = 0
    memory.change = 0
    slots[slot(inputs, index)] = memory
  }

  private func slot(_ inputs: DenoiserInputs, _ index: Int) -> Slot {
    Slot(image: inputs.images[index], branch: inputs.branches[index])
  }

  /// Each part of the network has a block of memory of its own, since runs of several take turns.
  private func arena(
    _ part: ComputationKind.Part, _ plans: ActivationMemory<ComputationKind>.Plans
  ) -> ActivationMemory<ComputationKind> {
    if let arena = arenas[part] { return arena }
    let arena = ActivationMemory(plans)
    arenas[part] = arena
    return arena
  }
}

extension StepCacheCounts {
  fileprivate mutating func count(_ path: WritableKeyPath<Self, Int>) { self[keyPath: path] += 1 }
}
