import ArgumentParser
import BenchSupport
import Fewstep
import Foundation

struct Step: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What a sampler's own work costs for each step, beside copying the tensors it touches.",
    discussion: """
      The model answers at once with an output made beforehand, so that all the time is the executor's. A step touches \
      the tensors that its sums read and write; copying them is one memcpy of each. Allocations are calls of malloc and \
      its kin in the second half of a run. The last columns leave out the estimates of the error, which most solvers \
      give and other libraries do not.
      """)

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  struct Figures: Encodable {
    let machine: Machine
    let steps: [StepTable.Result]
  }

  func run() async throws {
    try await inRelease {
      let machine = Machine.current
      print("fewstep \(fewstepVersion) on \(machine)\n")
      let results = try await StepTable().measure()
      try json.map { try Figures(machine: machine, steps: results).writeJSON(to: URL(filePath: $0)) }
    }
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
    print("Cost of a step on a latent of \(Self.shape), \(Self.steps) steps, Karras grid, one thread")
    let table = TablePrinter(columns: [
      ("solver", 12), ("µs/step", 9), ("tensors", 8), ("copying µs", 11), ("ratio", 6), ("allocations", 12),
      ("no estimate", 12), ("ratio", 6),
    ])
    table.printHeading()
    var results: [Result] = []
    for name in Self.solvers {
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
      let result = Result(
        solver: plans[0].solver, steps: Self.steps, microsecondsPerStep: cost.microseconds,
        copyMicroseconds: cost.copyMicroseconds, ratio: cost.ratio, tensorsPerStep: cost.tensors,
        allocationsPerStep: cost.allocations, microsecondsWithoutEstimates: plain.microseconds,
        ratioWithoutEstimates: plain.ratio)
      results.append(result)
      table.printRow([
        result.solver, decimal(result.microsecondsPerStep, 1), decimal(result.tensorsPerStep, 1),
        decimal(result.copyMicroseconds, 1), decimal(result.ratio, 2), decimal(result.allocationsPerStep, 1),
        decimal(result.microsecondsWithoutEstimates, 1), decimal(result.ratioWithoutEstimates, 2),
      ])
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
    let milliseconds = try await Workbench.medianMilliseconds(of: 41, run)
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
    let milliseconds = await Workbench.medianMilliseconds(of: 21) {
      for round in 0..<rounds { memcpy(buffers[(2 * round + 1) % 8], buffers[2 * round % 8], bytes) }
    }
    return 1000 * milliseconds / Double(rounds)
  }
}
