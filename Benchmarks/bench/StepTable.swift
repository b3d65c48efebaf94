import ArgumentParser
import BenchSupport
import Fewstep
import Foundation

struct Step: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "What a sampler's own work costs for each step, beside copying the tensors it touches.",
    discussion: """
      The model answers at once with an output made beforehand, so that all the time is the executor's. A step touches \
      the tensors that its sums read and write; copying them is one memcpy of each. Allocations are calls of malloc and \
      its kin in the second half of a run. The last columns leave out the estimates of the error, which most solvers \
      give and other libraries do not.
      """)

  @OptionGroup var figures: FigureOptions

  struct Figures: Encodable {
    let machine: Machine
    let steps: [StepTable.Result]
  }

  func measure(on machine: Machine) async throws {
    try figures.write(Figures(machine: machine, steps: try await StepTable().measure()))
  }
}

/// The executor's time per step on the latent of a 512x512 picture.
struct StepTable {
  static let shape: Shape = [64, 64, 4]
  static let solvers = ["ddim", "euler", "dpm++2m", "dpm++3m", "unipc2", "heun", "ipndm4", "ddpm"]
  static let steps = 50

  struct Result: Encodable {
    let solver: String
    let steps: Int
    let microsecondsPerStep: Double
    let copyMicroseconds: Double
    let ratio: Double
    /// Tensors read or written in a step, on average.
    let tensorsPerStep: Double
    let allocationsPerStep: Double
    /// What a step takes where no error is estimated.
    let microsecondsWithoutEstimates: Double
    let ratioWithoutEstimates: Double
  }

  /// What a run of a plan takes.
  private struct Cost {
    let microseconds: Double
    let copyMicroseconds: Double
    let tensors: Double
    let allocations: Double
    var ratio: Double { microseconds / copyMicroseconds }
  }

  func measure() async throws -> [Result] {
    let table = Table<Result>([
      .init("solver", 12) { $0.solver }, .init("µs/step", 9) { decimal($0.microsecondsPerStep, 1) },
      .init("tensors", 8) { decimal($0.tensorsPerStep, 1) },
      .init("copying µs", 11) { decimal($0.copyMicroseconds, 1) }, .init("ratio", 6) { decimal($0.ratio, 2) },
      .init("allocations", 12) { decimal($0.allocationsPerStep, 1) },
      .init("no estimate", 12) { decimal($0.microsecondsWithoutEstimates, 1) },
      .init("ratio", 6) { decimal($0.ratioWithoutEstimates, 2) },
    ])
    let results = try await table.rows(
      "Cost of a step on a latent of \(Self.shape), \(Self.steps) steps, Karras grid, one thread", Self.solvers
    ) { name, _ in
      let entry = try SolverCatalogue.entry(named: name)
      let points = try GridSpacing.karras.points(
        steps: Self.steps, for: entry.conventions, on: VariancePreserving.stableDiffusion)
      let plans = try [true, false].map {
        try SamplingPlan(
          entry.make(Self.steps), at: points, on: VariancePreserving.stableDiffusion, prediction: .epsilon,
          estimatesErrors: $0)
      }
      let cost = try await measure(plans[0])
      let plain = plans[0] == plans[1] ? cost : try await measure(plans[1])
      return Result(
        solver: plans[0].solver, steps: Self.steps, microsecondsPerStep: cost.microseconds,
        copyMicroseconds: cost.copyMicroseconds, ratio: cost.ratio, tensorsPerStep: cost.tensors,
        allocationsPerStep: cost.allocations, microsecondsWithoutEstimates: plain.microseconds,
        ratioWithoutEstimates: plain.ratio)
    }
    print("\nddpm adds noise, which is computed and not copied.\n")
    return results
  }

  private func measure(_ plan: SamplingPlan) async throws -> Cost {
    let output = DenseTensor<Float>(noise: NoiseField(seed: 1), shape: Self.shape)
    let answers = [output]
    var allocations: Int64 = 0
    let all = plan.evaluationCount
    let half = all / 2
    func run() async throws {
      var evaluations = 0
      var start: Int64 = 0
      _ = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: Self.shape, start: .states([output])
      ) { (_: [DenoiserRequest<DenseTensor<Float>>]) in
        evaluations += 1
        if evaluations == half { start = bench_allocation_count() }
        if evaluations == all { allocations = bench_allocation_count() - start }
        return answers
      }
    }
    let milliseconds = try await Timing.median(runs: 41, of: run)
    let tensors = plan.operations.reduce(0) { count, operation in
      switch operation {
      case .combine(let combination): count + combination.terms.count + 1
      // The image's error is read and written.
      case .estimate(let estimate): count + estimate.terms.count + 2
      case .evaluate: count
      }
    }
    let copy = await copyMicroseconds()
    let perStep = Double(tensors) / Double(plan.stepCount)
    let micros = 1000 * milliseconds / Double(plan.stepCount)
    let measured = Double(all - half)
    return Cost(
      microseconds: micros, copyMicroseconds: perStep * copy, tensors: perStep,
      allocations: Double(allocations) / measured * Double(all) / Double(plan.stepCount))
  }

  /// One memcpy of one tensor, among several so that they come from the same cache as a step's.
  private func copyMicroseconds() async -> Double {
    let bytes = Self.shape.count * MemoryLayout<Float>.size
    let buffers = (0..<8).map { _ in UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64) }
    defer { buffers.forEach { $0.deallocate() } }
    for buffer in buffers { memset(buffer, 1, bytes) }
    let rounds = 200
    let milliseconds = await Timing.median(runs: 21) {
      for round in 0..<rounds { memcpy(buffers[(2 * round + 1) % 8], buffers[2 * round % 8], bytes) }
    }
    return 1000 * milliseconds / Double(rounds)
  }
}
