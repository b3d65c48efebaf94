import Foundation
import Sampling
import Testing

@Suite("Sampling plans")
struct PlanTests {
  static func path(for solver: SolverEntry) throws -> any NoisePath {
    solver.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
  }

  static func plan(_ solver: SolverEntry, _ spacing: GridSpacing, steps: Int) throws(SamplingError) -> SamplingPlan {
    let prediction: Prediction = solver.family == .flow ? .flow : .epsilon
    let path: any NoisePath = solver.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
    return try SamplingPlan(
      solver.make(steps), at: spacing.points(steps: steps, for: solver, on: path), prediction: prediction)
  }

  @Test(arguments: GridSpacing.allCases)
  func everySolverOnEveryGrid(_ spacing: GridSpacing) throws {
    for solver in SolverCatalogue.all {
      // A straight path's ends have no finite lambda to space evenly, and its timestep 0 is clean already.
      let isPossible = solver.family == .diffusion || ![.leading, .karras, .uniformLambda].contains(spacing)
      for steps in [1, 2, 3, 7, 20] {
        guard isPossible else {
          #expect(throws: SamplingError.self) { try Self.plan(solver, spacing, steps: steps) }
          continue
        }
        let plan = try Self.plan(solver, spacing, steps: steps)
        #expect(plan.stepCount == steps)
        for case .combine(let combination) in plan.operations {
          #expect(combination.terms.allSatisfy { $0.coefficient.isFinite }, "\(solver.name), \(spacing)")
          #expect(combination.noise?.coefficient.isFinite ?? true)
        }
        let decoded = try JSONDecoder().decode(SamplingPlan.self, from: JSONEncoder().encode(plan))
        #expect(decoded == plan)
      }
    }
  }

  @Test(arguments: [
    ("ddpm", 20), ("ddim", 20), ("dpm-solver-3s", 20), ("dpm-solver-2m", 20), ("dpm++2m", 20), ("dpm++3s", 20),
    ("euler", 20), ("heun", 39), ("flow-euler", 20), ("flow-midpoint", 40), ("flow-heun", 39),
  ])
  func evaluationsAreCounted(_ name: String, _ evaluations: Int) throws {
    let solver = try SolverCatalogue.entry(named: name)
    #expect(try Self.plan(solver, .trailing, steps: 20).evaluationCount == evaluations)
  }

  @Test func registersDoNotGrowWithSteps() throws {
    for solver in SolverCatalogue.all {
      let few = try Self.plan(solver, .trailing, steps: 12)
      let many = try Self.plan(solver, .trailing, steps: 900)
      #expect(few.registerCount == many.registerCount && many.registerCount <= 7, "\(solver.name)")
    }
  }

  @Test func onlyStochasticSolversDrawNoise() throws {
    for solver in SolverCatalogue.all {
      #expect(try Self.plan(solver, .trailing, steps: 5).isStochastic == (solver.name == "ddpm"))
    }
  }

  @Test func aPlanIsATable() throws {
    let plan = try SamplingPlan(FlowHeun(), on: RectifiedFlow(), grid: TrailingGrid(steps: 2), prediction: .flow)
    #expect(
      plan.description == """
        flow-heun, 2 steps, 3 evaluations, flow prediction, 4 registers
        step  timestep  alpha  sigma  lambda  operation
           0      1000      0      1    -inf  r0 = 1 z0
                  1000      0      1    -inf  r1 = model(r0)
                                              r2 = 1 r0 - 0.5 r1
                   500    0.5    0.5       0  r3 = model(r2)
           1       500    0.5    0.5       0  r2 = 1 r0 - 0.25 r1 - 0.25 r3
                   500    0.5    0.5       0  r3 = model(r2)
           2         0      1      0     inf  r1 = 1 r2 - 0.5 r3
                                              result r1
        """)
  }

  @Test(arguments: [0, -1, 1001, Int.max, Int.min])
  func impossibleStepCounts(_ steps: Int) throws {
    for solver in SolverCatalogue.all {
      for spacing in [GridSpacing.leading, .linspace, .trailing, .karras] {
        #expect(throws: SamplingError.self) { try Self.plan(solver, spacing, steps: steps) }
      }
    }
  }

  @Test func gridsMustFall() throws {
    let path = VariancePreserving.stableDiffusion
    let (noisy, clear) = (path.point(at: 900), path.point(at: 100))
    for points in [
      [], [noisy], [clear, noisy], [noisy, path.clean, path.clean],
      [noisy, TimePoint(timestep: .nan, alpha: 1, sigma: 0)], [TimePoint(timestep: 1, alpha: 0, sigma: 0), clear],
    ] {
      #expect(throws: SamplingError.self) { try SamplingPlan(DDIM(), at: points) }
    }
  }

  @Test func unknownNamesListTheKnown() {
    #expect(throws: SamplingError.unknownSolver("nope", known: SolverCatalogue.all.map(\.name))) {
      try SolverCatalogue.entry(named: "nope")
    }
    #expect(throws: SamplingError.unknownGrid("nope", known: GridSpacing.allCases.map(\.rawValue))) {
      try GridSpacing(named: "nope")
    }
  }

  @Test func namesAreUniqueAndTheSolversOwn() throws {
    let names = SolverCatalogue.all.flatMap { [$0.name] + $0.aliases }.map { $0.lowercased() }
    #expect(Set(names).count == names.count)
    for entry in SolverCatalogue.all { #expect(try entry.make(20).name == entry.name) }
  }

  /// DPM-Solver in ε works in log sigma; the data-space solvers divide by alpha.
  @Test func solversRefusePointsTheyCannotUse() throws {
    #expect(throws: SamplingError.self) {
      try SamplingPlan(DPMSolverMultistep(.epsilon, order: 2), on: .stableDiffusion, grid: TrailingGrid(steps: 4))
    }
    for solver in [DDIM(), Euler(), Heun(), try DPMSolverMultistep(.sample, order: 2)] as [any Solver] {
      #expect(throws: SamplingError.self) {
        try SamplingPlan(solver, at: TrailingGrid(steps: 4).points(on: RectifiedFlow()))
      }
    }
    #expect(throws: SamplingError.self) {
      try SamplingPlan(FlowEuler(), on: .stableDiffusion, grid: TrailingGrid(steps: 4))
    }
  }
}
