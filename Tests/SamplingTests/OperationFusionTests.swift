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

  /// What nothing reads is left out, and what only that reads; not what completes a step.
  @Test func whatNothingReadsIsLeftOut() {
    let written = [
      Self.model(1, of: 0), Self.sum(2, [(2, 1)]), Self.sum(3, [(3, 2), (1, 0)]), Self.sum(4, [(1, 1)], step: 1),
      Self.sum(5, [(1, 0)], step: 2),
    ]
    #expect(OperationFusion(written, results: [5]).operations == [written[0], written[3], written[4]])
  }

  /// A learned variance is no term of a sum.
  @Test func exponentsStayTensors() {
    let noise = SamplingPlan.Combination.Noise(
      coefficient: 1, stream: 1, deviation: .init(register: .init(2), slope: 0.5, offset: 0))
    let written = [
      Self.model(1, of: 0), Self.sum(2, [(2, 1)]),
      .combine(.init(terms: [], noises: [noise], output: .init(3), completedStep: 1)),
    ]
    #expect(OperationFusion(written, results: [3]).operations == written)
  }

  /// No plan of any solver writes what it does not read.
  @Test func plansReadWhatTheyWrite() throws {
    for entry in SolverCatalogue.all {
      let isFlow = entry.families == [.flow]
      let path: any NoisePath = isFlow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
      for prediction in isFlow ? [Prediction.flow] : [.epsilon, .sample, .velocity] {
        let solver = try entry.make(6)
        var points = try GridSpacing.trailing.points(steps: 6, for: entry.conventions, on: path)
        if solver.isInversion { points.reverse() }
        let plan = try SamplingPlan(solver, at: points, on: path, prediction: prediction)
        var unread: Set<SamplingPlan.Register> = []
        for operation in plan.operations {
          unread.subtract(operation.inputs)
          if case .combine(let combination) = operation {
            #expect(!unread.contains(combination.output), "\(entry.name), \(prediction): \(combination.output)")
            if combination.completedStep == nil { unread.insert(combination.output) }
          }
        }
        #expect(unread.subtracting([plan.output]).isEmpty, "\(entry.name), \(prediction)")
      }
    }
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
