import Foundation
import Tensors
import Testing

@testable import DenseTensors

@Suite("Batches in parts")
struct BatchPartsTests {
  private typealias Tensor = DenseTensor<Float>

  private static let light = 1 << 20

  /// Parts cover the batch in order, one for each thread, and no thread is idle for more than an eighth of the time.
  @Test(arguments: 1...40) func partsAreEven(count: Int) {
    let threads = ThreadPool.threadCount
    let parts = BatchParts.ranges(of: count, weightBytes: Self.light)
    #expect(parts.flatMap { Array($0) } == Array(0..<count))
    let most = parts.map(\.count).max()!
    if parts.count > 1 {
      #expect(parts.count == threads && 8 * count >= 7 * threads * most)
    } else {
      #expect(threads == 1 || 8 * count < 7 * threads * ((count + threads - 1) / threads))
    }
    #expect(BatchParts.ranges(of: count, weightBytes: 1 << 30) == [0..<count])
    #expect(BatchParts.sharingLayers { BatchParts.ranges(of: count, weightBytes: Self.light) } == [0..<count])
  }

  @Test func asManyAtOnceAsThereAreThreads() {
    #expect(BatchParts.size(weightBytes: Self.light) == ThreadPool.threadCount)
    #expect(BatchParts.size(weightBytes: 1 << 30) == 1)
  }

  private static let weights = PackedWeights(
    (0..<64 * 64 * 9).map { Float($0 % 17) - 8 }, outputs: 64, channels: 64, kernel: (3, 3), bias: nil)
  private static let norm = NormParameters(
    gain: Array(repeating: 1, count: 64), shift: Array(repeating: 0, count: 64), epsilon: 1e-5)

  private static func network(_ input: Tensor) -> Tensor {
    let hidden = input.groupNormalized(norm, groups: 8, silu: true).convolved(with: weights, .init(padding: .init(1)))
    return hidden.groupNormalized(norm, groups: 8).convolved(with: weights, .init(padding: .init(1)), residual: hidden)
  }

  private static func network(_ input: Tensor, in parts: [Range<Int>]) -> Tensor {
    BatchParts.evaluate(input, in: parts, to: input.shape) { part, range in
      #expect(part.shape[0] == range.count)
      return network(part)
    }
  }

  private static func input(_ seed: UInt64) -> Tensor { Tensor(noise: NoiseField(seed: seed), shape: [5, 20, 20, 64]) }

  /// Any parts give the bits of the whole: with memory of their own, and in an arena, where every part has its block and
  /// nothing lies outside, however often it is run.
  @Test(arguments: [[0..<5], [0..<2, 2..<5], [0..<1, 1..<4, 4..<5]]) func partsAreTheWhole(parts: [Range<Int>]) {
    let inputs = (0..<3).map { Self.input($0) }
    let expected = inputs.map(Self.network)
    #expect(inputs.map { Self.network($0, in: parts) } == expected)
    let plan = ActivationArena.rehearse { Self.network(inputs[0], in: parts) }
    let arena = ActivationArena(plan)
    for (input, expected) in zip(inputs, expected) {
      #expect(arena.run { Self.network(input, in: parts) } == expected)
      #expect(arena.strayCount == 0)
    }
    if parts.count > 1 {
      let own = parts.map { part in ActivationArena.rehearse { Self.network(inputs[0][outer: part]) }.peakBytes }
      #expect(plan.peakBytes > own.max()! && plan.parts.count == parts.count)
    }
  }

  /// What a run adds to its plan, parts too, gets memory of its own.
  @Test func strayPartsAreRight() {
    let arena = ActivationArena(ActivationArena.rehearse { Self.network(Self.input(1), in: [0..<2, 2..<5]) })
    let input = Self.input(2)
    #expect(
      arena.run { Self.network(Self.network(input, in: [0..<2, 2..<5]), in: [0..<1, 1..<5]) }
        == Self.network(Self.network(input)))
  }

  /// Layers inside a part are not shared, and those after it are again.
  @Test func aPartKeepsToItsThread() {
    let input = Self.input(3)
    _ = BatchParts.evaluate(input, in: [0..<2, 2..<5], to: input.shape) { part, _ in
      let own = Thread.current
      #expect(ThreadPool.width == 1)
      ThreadPool.forEach(100) { _ in #expect(Thread.current === own) }
      #expect(BatchParts.ranges(of: 64, weightBytes: 1) == [0..<64])
      return part
    }
    #expect(ThreadPool.width == ThreadPool.threadCount)
  }
}
