import Foundation
import Sampling
import Testing

/// Every solver by name on every grid by name.
@Suite("Solvers and grids by name")
struct CatalogueTests {
  static func plan(
    _ solver: SolverEntry, _ spacing: GridSpacing, steps: Int, family: SolverEntry.Family? = nil
  ) throws(SamplingError) -> SamplingPlan {
    let isFlow = (family ?? solver.family) == .flow
    let path: any NoisePath = isFlow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
    return try SamplingPlan(
      solver.make(steps), at: spacing.points(steps: steps, for: solver.conventions, on: path),
      prediction: isFlow ? .flow : .epsilon)
  }

  /// JSON has no infinity: a plan that survives it has none either, though it end at sigma 0.
  @Test(arguments: GridSpacing.allCases, [1, 2, 3, 7, 20])
  func everySolverOnEveryGrid(_ spacing: GridSpacing, _ steps: Int) throws {
    for solver in SolverCatalogue.all {
      for family in solver.families {
        // A straight path's ends have no finite lambda to space evenly.
        guard family == .diffusion || spacing != .uniformLambda else {
          #expect(throws: SamplingError.self) { try Self.plan(solver, spacing, steps: steps, family: family) }
          continue
        }
        let plan = try Self.plan(solver, spacing, steps: steps, family: family)
        #expect(plan.stepCount == steps && plan.solver == solver.name)
        for case .combine(let combination) in plan.operations {
          #expect(combination.terms.allSatisfy { $0.coefficient.isFinite }, "\(solver.name), \(spacing)")
          #expect(combination.noises.allSatisfy { $0.coefficient.isFinite })
        }
        let decoded = try JSONDecoder().decode(SamplingPlan.self, from: JSONEncoder().encode(plan))
        #expect(decoded == plan, "\(solver.name), \(spacing)")
      }
    }
  }

  /// As many steps as timesteps: DPM-Solver, which counts one interval more, has too few on the integer grids.
  @Test func asManyStepsAsTimesteps() throws {
    for solver in SolverCatalogue.all where solver.family == .diffusion {
      for spacing in GridSpacing.allCases {
        if spacing == .flow || solver.conventions.division == .stepsAndEnd && [.leading, .linspace].contains(spacing) {
          #expect(throws: SamplingError.invalidSteps(found: 1000, allowed: 1...999)) {
            try Self.plan(solver, spacing, steps: 1000)
          }
          #expect(try Self.plan(solver, spacing, steps: 999).stepCount == 999)
        } else if spacing == .distilled {
          #expect(throws: SamplingError.invalidSteps(found: 1000, allowed: 1...50)) {
            try Self.plan(solver, spacing, steps: 1000)
          }
          #expect(try Self.plan(solver, spacing, steps: 50).stepCount == 50)
        } else {
          #expect(try Self.plan(solver, spacing, steps: 1000).stepCount == 1000)
        }
      }
    }
  }

  @Test(arguments: [0, -1, 1001, Int.max, Int.min])
  func impossibleStepCounts(_ steps: Int) throws {
    for solver in SolverCatalogue.all {
      for spacing in GridSpacing.allCases {
        #expect(throws: SamplingError.invalidSteps(found: steps, allowed: 1...1000), "\(solver.name), \(spacing)") {
          try Self.plan(solver, spacing, steps: steps)
        }
      }
    }
  }

  @Test(arguments: [Int.min, -5, 0, 1, 3, 99, 1000, Int.max]) func offsetsNeverPassTheEnds(_ offset: Int) throws {
    let path = VariancePreserving.stableDiffusion
    let times = try LeadingGrid(steps: 10, offset: offset).points(on: path).dropLast().map(\.timestep)
    let expected = Double(min(max(offset, 0), 99))
    #expect(times == (0..<10).map { 900 - 100 * Double($0) + expected })
  }

  @Test func karrasGridsRefuseImpossibleExponents() throws {
    for rho in [0, -7, Double.nan, Double.infinity] {
      #expect(throws: SamplingError.self) { try KarrasGrid(steps: 5, rho: rho).points(on: .stableDiffusion) }
    }
  }

  /// The times told are whole numbers; the steps stay where they are.
  @Test func karrasGridsCanTellRoundedTimes() throws {
    let exact = try KarrasGrid(steps: 12).points(on: .stableDiffusion)
    let rounded = try KarrasGrid(steps: 12, options: .init(times: .roundedForModelOnly)).points(on: .stableDiffusion)
    #expect(exact.map(\.sigma) == rounded.map(\.sigma) && exact.map(\.alpha) == rounded.map(\.alpha))
    #expect(rounded.map(\.timestep) == exact.map { $0.timestep.rounded(.toNearestOrEven) })
    #expect(exact.count { $0.timestep != $0.timestep.rounded() } >= 10)
  }

  @Test func uniformGridsAreUniformInLambda() throws {
    let lambdas = try UniformLambdaGrid(steps: 9).points(on: .stableDiffusion).map(\.lambda)
    let step = (lambdas[9] - lambdas[0]) / 9
    for (left, right) in zip(lambdas, lambdas.dropFirst()) { #expect(abs(right - left - step) < 1e-14) }
    #expect(lambdas[0] == VariancePreserving.stableDiffusion.point(at: 999).lambda)
  }

  typealias Cost = (name: String, order: Int?, perTwentySteps: Int)

  static let evaluations = discrete + exponential + noiseLevel + stochastic + flow
  static let discrete: [Cost] = [
    ("ddpm", nil, 20), ("ddim", 1, 20), ("pndm", 2, 21), ("pndm-prk", 2, 26), ("lcm", nil, 20), ("tcd", nil, 20),
  ]
  static let exponential: [Cost] = [
    ("dpm-solver-1", 1, 20), ("dpm-solver-2s", 2, 20), ("dpm-solver-3s", 3, 20), ("dpm-solver-2m", 2, 20),
    ("dpm-solver-3m", 2, 20), ("dpm++2m", 2, 20), ("dpm++3m", 2, 20), ("dpm++3m-consistent", 3, 20),
    ("dpm++2s", 2, 20), ("dpm++3s", 3, 20), ("unipc2", 2, 20), ("unipc3", 2, 20), ("unipc4", 2, 20),
    ("unipc2-consistent", 2, 20), ("unipc3-consistent", 2, 20), ("deis2", 2, 20), ("deis3", 2, 20), ("deis4", 2, 20),
    ("ipndm4", 2, 20), ("ipndm4-v", 2, 20), ("res-2m", 2, 20), ("res-3m", 3, 20), ("res-2s", 2, 20),
    ("res-3s", 3, 20), ("gradient-estimation", 1, 20),
  ]
  static let noiseLevel: [Cost] = [("euler", 1, 20), ("heun", 2, 39), ("dpm2", 2, 39)]
  static let stochastic: [Cost] = [
    ("dpm-solver-1m-sde", nil, 20), ("dpm-solver-2m-sde", nil, 20), ("dpm-solver-3m-sde-consistent", nil, 20),
    ("dpm++1m-sde", nil, 20), ("dpm++2m-sde", nil, 20), ("dpm++3m-sde", nil, 20), ("dpm++3m-sde-published", nil, 20),
    ("dpm++3m-sde-consistent", nil, 20), ("dpm++2s-sde", nil, 20), ("dpm++3s-sde", nil, 20), ("dpm++sde", nil, 39),
    ("euler-ancestral", nil, 20), ("dpm2-ancestral", nil, 39), ("dpm++2s-ancestral", nil, 39),
    ("euler-churn", nil, 20), ("euler-churn-published", nil, 20), ("edm-heun", nil, 39), ("sa-solver", nil, 20),
    ("sa-solver-epsilon", nil, 20), ("er-sde-1", nil, 20), ("er-sde-2", nil, 20), ("er-sde-3", nil, 20),
    ("er-sde-3-consistent", nil, 20), ("ddim-cfg++", 1, 20), ("euler-ancestral-cfg++", nil, 20),
    ("dpm++2m-cfg++", 2, 20),
  ]
  static let flow: [Cost] = [
    ("flow-renoise", nil, 20),
    ("flow-euler", 1, 20), ("flow-midpoint", 2, 40), ("flow-heun", 2, 39), ("flow-ralston3", 3, 60),
    // The last step of rk4 is Ralston's; Adams-Bashforth methods start with Runge-Kutta steps.
    ("flow-rk4", 4, 79), ("flow-ab2", 2, 20), ("flow-ab3", 3, 21), ("flow-ab4", 4, 24),
  ]

  /// The last step of the Heun methods, to sigma 0, is Euler's.
  @Test func ordersAndEvaluations() throws {
    #expect(Self.evaluations.map(\.name).sorted() == SolverCatalogue.all.map(\.name).sorted())
    for (name, order, evaluations) in Self.evaluations {
      let entry = try SolverCatalogue.entry(named: name)
      #expect(try entry.make(20).order == order, "\(name)")
      #expect(try Self.plan(entry, .trailing, steps: 20).evaluationCount == evaluations, "\(name)")
      #expect(try Self.plan(entry, .trailing, steps: 20).isStochastic == (order == nil), "\(name)")
    }
  }

  @Test func registersDoNotGrowWithSteps() throws {
    for entry in SolverCatalogue.all {
      let counts = try [12, 900].map { try Self.plan(entry, .trailing, steps: $0).registerCount }
      #expect(counts[0] == counts[1] && counts[1] <= 8, "\(entry.name)")
    }
    let ddpm = try SolverCatalogue.entry(named: "ddpm")
    #expect(try [2, 10, 1000].map { try Self.plan(ddpm, .leading, steps: $0).registerCount } == [3, 3, 3])
  }

  @Test func namesAreUniqueAndTheSolversOwn() throws {
    let names = SolverCatalogue.all.flatMap { [$0.name] + $0.aliases }.map { $0.lowercased() }
    #expect(Set(names).count == names.count)
    for entry in SolverCatalogue.all {
      #expect(try entry.make(20).name == entry.name)
      for name in [entry.name.uppercased()] + entry.aliases {
        #expect(try SolverCatalogue.entry(named: name).name == entry.name)
      }
    }
    for spacing in GridSpacing.allCases { #expect(try GridSpacing(named: spacing.rawValue.uppercased()) == spacing) }
  }

  @Test(arguments: ["nope", "", "ddim "]) func unknownNamesListTheKnown(_ name: String) {
    let solvers = SolverCatalogue.all.map(\.name)
    let solverError = #expect(throws: SamplingError.unknownSolver(name, known: solvers)) {
      try SolverCatalogue.entry(named: name)
    }
    #expect(solvers.allSatisfy { solverError?.description.contains($0) ?? false })
    let grids = GridSpacing.allCases.map(\.rawValue)
    let gridError = #expect(throws: SamplingError.unknownGrid(name, known: grids)) { try GridSpacing(named: name) }
    #expect(grids.allSatisfy { gridError?.description.contains($0) ?? false })
  }
}
