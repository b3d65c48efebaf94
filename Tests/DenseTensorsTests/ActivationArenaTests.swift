import Tensors
import Testing

@testable import DenseTensors

@Suite("Activations in an arena")
struct ActivationArenaTests {
  private typealias Tensor = DenseTensor<Float>

  /// No two tensors that live at once share memory, and no more is taken than all that do need, but for what placing
  /// them loses: nothing for tensors of one size that come and go as on a stack.
  @Test(arguments: 0..<20) func placesDoNotOverlap(seed: UInt64) {
    var numbers = TestNumbers(seed: seed)
    var lifetimes: [ActivationPlan.Lifetime] = []
    for birth in 0..<60 {
      let death = numbers.integer(below: 9) == 0 ? nil : birth + 1 + numbers.integer(below: 12)
      lifetimes.append(.init(bytes: numbers.integer(below: 4000), birth: birth, death: death))
    }
    let plan = ActivationPlan(lifetimes)
    for (index, slot) in plan.slots.enumerated() {
      #expect(slot.bytes == lifetimes[index].bytes && (slot.offset == nil) == (lifetimes[index].death == nil))
      guard let offset = slot.offset else { continue }
      #expect(offset % 64 == 0 && offset + slot.bytes <= plan.arenaBytes)
      for other in 0..<index where lifetimes[other].overlaps(lifetimes[index]) {
        guard let start = plan.slots[other].offset else { continue }
        #expect(start + plan.slots[other].bytes <= offset || offset + slot.bytes <= start)
      }
    }
    let live = (0..<80).map { time in
      lifetimes.filter { $0.death != nil && $0.birth <= time && time < $0.death! }
        .reduce(0) { $0 + ($1.bytes + 63) / 64 * 64 }
    }
    #expect(plan.arenaBytes >= live.max()!)
    #expect(Double(plan.arenaBytes) <= 1.25 * Double(live.max()!))
  }

  private static let weights = PackedWeights(
    (0..<64 * 64 * 9).map { Float($0 % 17) - 8 }, outputs: 64, channels: 64, kernel: (3, 3), bias: nil)
  private static let norm = NormParameters(
    gain: Array(repeating: 1, count: 64), shift: Array(repeating: 0, count: 64), epsilon: 1e-5)

  private static func network(_ input: Tensor) -> Tensor {
    var hidden = input
    for _ in 0..<3 {
      hidden = hidden.groupNormalized(norm, groups: 8, silu: true)
        .convolved(with: weights, .init(padding: .init(1)), residual: hidden)
    }
    return hidden
  }

  private static func input(_ seed: UInt64) -> Tensor { Tensor(noise: NoiseField(seed: seed), shape: [1, 12, 12, 64]) }

  /// The same bits as without an arena, again and again, results of earlier runs untouched, and nothing outside.
  @Test func runsAreTheSame() {
    let inputs = (0..<4).map { Self.input($0) }
    let expected = inputs.map(Self.network)
    let plan = ActivationArena.rehearse { Self.network(inputs[0]) }
    let arena = ActivationArena(plan)
    var results: [Tensor] = []
    for input in inputs {
      results.append(arena.run { Self.network(input) })
      #expect(arena.strayCount == 0)
    }
    #expect(results == expected)
    // Of the tensors of three blocks, no more live at once than an input, its norm, an output and patches.
    let tensor = inputs[0].shape.count * 4
    #expect(plan.peakBytes < 3 * tensor + Int(6 << 20) && plan.arenaBytes > tensor)
  }

  /// A rehearsal computes nothing, and finds the same plan each time.
  @Test func aRehearsalComputesNothing() {
    let weights = PackedWeights(
      Array(repeating: 1, count: 256 * 256), outputs: 256, channels: 256, bias: nil)
    let input = Tensor(repeating: 1, shape: [500, 256])
    var output: Tensor?
    let first = ActivationArena.rehearse { output = Tensor(zeros: [500, 256]).adding(input).linear(weights) }
    let second = ActivationArena.rehearse { Tensor(zeros: [500, 256]).adding(input).linear(weights) }
    #expect(output?.shape == [500, 256])
    #expect(first == second)
  }

  /// Weights that are made while a network is rehearsed or run are whole, and outlive it.
  @Test func weightsOutliveTheRunTheyAreMadeIn() {
    let weights = { PackedWeights((0..<64).map(Float.init), outputs: 8, channels: 8, bias: (0..<8).map(Float.init)) }
    let norm = { NormParameters(gain: (0..<8).map(Float.init), shift: (8..<16).map(Float.init), epsilon: 1e-5) }
    let input = Tensor(noise: NoiseField(seed: 1), shape: [3, 8])
    let expected = input.linear(weights()).layerNormalized(norm())
    var made: [(PackedWeights, NormParameters)] = []
    let run = {
      made.append((weights(), norm()))
      _ = input.linear(made.last!.0).layerNormalized(made.last!.1)
    }
    let arena = ActivationArena(ActivationArena.rehearse(run))
    for _ in 0..<2 { arena.run(run) }
    for (weights, norm) in made { #expect(input.linear(weights).layerNormalized(norm) == expected) }
  }

  /// What differs from the plan, and what is kept of an earlier run, gets memory of its own and is right all the same.
  @Test func strayTensorsAreRight() {
    let inputs = [Self.input(1), Self.input(2)]
    let arena = ActivationArena(ActivationArena.rehearse { Self.network(inputs[0]) })
    var kept: [Tensor] = []
    let keeping = {
      (input: Tensor) in
      let first = Self.network(input)
      kept.append(first)
      return Self.network(first)
    }
    let results = inputs.map { input in arena.run { keeping(input) } }
    #expect(arena.strayCount > 0)
    #expect(kept == inputs.map(Self.network))
    #expect(results == kept.map(Self.network))
    let larger = Tensor(noise: NoiseField(seed: 3), shape: [2, 12, 12, 64])
    #expect(arena.run { Self.network(larger) } == Self.network(larger))
  }

  /// Kinds of runs have plans of their own; after a release the next run finds memory again.
  @Test func memoryFollowsTheKind() {
    let memory = ActivationMemory<Int>()
    for images in [1, 2, 1, 1, 3, 2] {
      let input = Tensor(noise: NoiseField(seed: UInt64(images)), shape: [images, 12, 12, 64])
      #expect(memory.run(images) { Self.network(input) } == Self.network(input))
      if images == 3 { memory.release() }
    }
  }
}
