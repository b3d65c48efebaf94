import Testing

@testable import Sampling

@Suite("Fusion of operations")
struct OperationFusionTests {
  private typealias Operation = SamplingPlan.Operation

  private static let point = TimePoint(timestep: 1, alpha: 1, sigma: 1)

  private static func sum(
    _ output: Int, _ terms: [(Double, Int)], bound: SampleBound? = nil, step: Int? = nil
  ) -> Operation {
    .combine(
      .init(
        terms: terms.map { .init(coefficient: $0.0, register: .init($0.1)) }, bound: bound, output: .init(output),
        completedStep: step))
  }

  private static func model(_ output: Int, of input: Int) -> Operation {
    .evaluate(.init(input: .init(input), point: point, output: .init(output)))
  }

  /// A conversion that one sum reads is written into it, and what cancels there is left out.
  @Test func aSumReadOnceIsAbsorbed() {
    let written = [
      Self.model(1, of: 0), Self.sum(2, [(2, 0), (-4, 1)]), Self.sum(3, [(-1, 0), (0.5, 2), (3, 1)], step: 1),
    ]
    #expect(
      OperationFusion(written, results: [3]).operations == [Self.model(1, of: 0), Self.sum(3, [(1, 1)], step: 1)])
  }

  /// Sums of sums fold into the last.
  @Test func chainsFold() {
    let written = [Self.sum(1, [(2, 0)]), Self.sum(2, [(3, 1)]), Self.sum(3, [(5, 2)], step: 1)]
    #expect(OperationFusion(written, results: [3]).operations == [Self.sum(3, [(30, 0)], step: 1)])
  }

  /// What is read twice, by the model, bounded, the end of a step or a result stays a tensor.
  @Test func whatMustBeATensorStaysOne() {
    let kept: [[Operation]] = [
      [Self.sum(1, [(2, 0)]), Self.sum(2, [(1, 1)]), Self.sum(3, [(1, 1), (1, 2)], step: 1)],
      [Self.sum(1, [(2, 0)]), Self.model(2, of: 1), Self.sum(3, [(1, 2)], step: 1)],
      [Self.sum(1, [(2, 0)], bound: .clip(limit: 1)), Self.sum(3, [(1, 1)], step: 1)],
      [Self.sum(1, [(2, 0)], step: 1), Self.sum(3, [(1, 1)], step: 2)],
    ]
    #expect(OperationFusion(kept[0], results: [3]).operations == [kept[0][0], Self.sum(3, [(2, 1)], step: 1)])
    for written in kept.dropFirst() { #expect(OperationFusion(written, results: [3]).operations == written) }
    let result = [Self.sum(1, [(2, 0)]), Self.sum(3, [(1, 1)], step: 1)]
    #expect(OperationFusion(result, results: [1, 3]).operations == result)
  }
}
