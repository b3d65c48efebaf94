import Foundation
import Sampling
import Testing

@Suite("Sampling plans")
struct PlanTests {
  static let path = VariancePreserving.stableDiffusion

  @Test func equalPlansAreEqual() throws {
    func plan(_ eta: Double, steps: Int = 5, _ prediction: Prediction = .epsilon, clippedTo limit: Double? = nil)
      throws -> SamplingPlan
    {
      try SamplingPlan(
        DDIM(eta: eta), on: Self.path, grid: TrailingGrid(steps: steps), prediction: prediction,
        bound: limit.map { .clip(limit: $0) })
    }
    let plans = try [
      plan(0), plan(0.5), plan(0, steps: 6), plan(0, .sample), plan(0, clippedTo: 1), plan(0, clippedTo: 2),
    ]
    #expect(Set(plans).count == plans.count)
    #expect(try plan(0) == plans[0] && plan(0.5).hashValue == plans[1].hashValue)
  }

  @Test func aPlanIsATable() throws {
    let plan = try SamplingPlan(
      FlowRungeKutta(.heun), on: RectifiedFlow(), grid: TrailingGrid(steps: 2), prediction: .flow)
    #expect(
      plan.description == """
        flow-heun, 2 steps, 3 evaluations, flow prediction, 4 registers
        step  timestep  alpha  sigma  lambda  operation
           0      1000      0      1    -inf  r0 = 1 z0
                  1000      0      1    -inf  r1 = model(r0)
                                              r2 = 1 r0 - 0.5 r1
                   500    0.5    0.5       0  r3 = model(r2)
                                              e1 = rms(0.25 r1 - 0.25 r3)
           1       500    0.5    0.5       0  r2 = 1 r0 - 0.25 r1 - 0.25 r3
                   500    0.5    0.5       0  r3 = model(r2)
           2         0      1      0     inf  r0 = 1 r2 - 0.5 r3
                                              result r0
        """)
  }

  /// Steps of log 2 in lambda, so that e^-h is 1/2: the first takes half of the prediction, the second extrapolates it
  /// by half a difference, 1/2 (m₁ + (m₁ - m₀) / 2), and the last is the prediction. Conversion and clipping are
  /// operations as well, and so are the estimates of the errors: w₂ (m₁ - m₀) of the first step, w₂ = 1 - 1 / (2 log
  /// 2), and of the second w₂ (m₂ - m₀) / 2 + w₃ (m₂ - 2 m₁ + m₀) - (m₁ - m₀) / 4.
  @Test func everyOperationIsInTheTable() throws {
    let points = [0.8, 0.4, 0.2, 0].enumerated().map { index, sigma in
      TimePoint(timestep: 900 - 300 * Double(index), alpha: 1, sigma: sigma)
    }
    let plan = try SamplingPlan(
      DPMSolverMultistep(.sample, order: 2), at: points, prediction: .epsilon, bound: .clip(limit: 2))
    #expect(
      plan.description == """
        dpm++2m, 3 steps, 3 evaluations, epsilon prediction, 5 registers
        step  timestep  alpha  sigma    lambda  operation
           0       900      1    0.8  0.223144  r0 = 1.28062 z0
                   900      1    0.8  0.223144  r1 = model(r0)
                                                r2 = clip(1 r0 - 0.8 r1, ±2)
           1       600      1    0.4  0.916291  r3 = 0.5 r0 + 0.5 r2
                   600      1    0.4  0.916291  r1 = model(r3)
                                                r0 = clip(1 r3 - 0.4 r1, ±2)
                                                e1 = rms(-0.278652 r2 + 0.278652 r0)
           2       300      1    0.2   1.60944  r4 = 0.5 r3 + 0.75 r0 - 0.25 r2
                   300      1    0.2   1.60944  r1 = model(r4)
                                                r3 = clip(1 r4 - 0.2 r1, ±2)
                                                e2 = rms(-0.445979 r0 + 0.208663 r2 + 0.237316 r3)
           3         0      1      0       inf  r2 = 1 r3
                                                result r2
        """)
  }

  @Test func aStochasticTableNamesItsNoise() throws {
    let plan = try SamplingPlan(DDPM(), on: Self.path, grid: TrailingGrid(steps: 3), prediction: .sample)
    let table = plan.description
    #expect(table.contains(" z0\n") && table.contains(" z1\n") && table.contains(" z2\n"))
    // The last step adds none.
    #expect(!table.contains("z3"))
  }

  @Test func gridsMustBeMonotone() throws {
    let (noisy, clear) = (Self.path.point(at: 900), Self.path.point(at: 100))
    for points in [
      [], [noisy], [noisy, clear, noisy], [clear, noisy, clear], [clear, Self.path.clean, noisy],
      [noisy, Self.path.clean, Self.path.clean],
      [noisy, TimePoint(timestep: .nan, alpha: 1, sigma: 0)], [noisy, TimePoint(timestep: 0, alpha: .nan, sigma: 0)],
      [TimePoint(timestep: 1, alpha: 0, sigma: 0), clear], [TimePoint(timestep: 1, alpha: 1, sigma: .infinity), clear],
      [noisy, TimePoint(timestep: 1, alpha: 1, sigma: -0.1)],
    ] {
      let error = #expect(throws: SamplingError.self) { try GridSteps(points) }
      guard case .invalidGrid = error else {
        Issue.record("\(points): \(String(describing: error))")
        continue
      }
      #expect(throws: SamplingError.self) { try SamplingPlan(DDIM(), at: points) }
    }
    for points in [[noisy, clear], [noisy, Self.path.clean], [clear, noisy], [Self.path.clean, noisy]] {
      let steps = try GridSteps(points)
      #expect(steps.map { [$0.0, $0.1] } == [points] && steps.areRising == (points[1] == noisy))
    }
    // Only an inversion goes from images to noise.
    #expect(throws: SamplingError.self) { try SamplingPlan(DDIM(), at: [clear, noisy]) }
  }

  /// DPM-Solver in ε works in log sigma; the data-space solvers divide by alpha; a flow velocity is a slope only on a
  /// straight path.
  @Test func solversRefusePointsTheyCannotUse() throws {
    let trailing = try TrailingGrid(steps: 4).points(on: Self.path)
    let straight = try TrailingGrid(steps: 4).points(on: RectifiedFlow())
    let refused: [(any Solver, [TimePoint])] = [
      (try DPMSolverMultistep(.epsilon, order: 2), trailing), (try DPMSolverSinglestep(.epsilon, order: 2), trailing),
      (Euler(), straight), (Heun(), straight),
      (try DPMSolverSinglestep(.sample, order: 2), straight), (FlowRungeKutta(.euler), trailing),
      (FlowRungeKutta(.midpoint), trailing),
      (FlowRungeKutta(.heun), trailing), (try DEIS(order: 2), trailing), (try DEIS(order: 2), straight),
    ]
    for (solver, points) in refused {
      let error = #expect(throws: SamplingError.self) { try SamplingPlan(solver, at: points, prediction: .sample) }
      guard case .incompatible(solver.name, _) = error else {
        Issue.record("\(solver.name): \(String(describing: error))")
        continue
      }
    }
  }

  /// A divided difference over a step that stays where it is; ε where there is nothing but noise.
  @Test func coefficientsAreFinite() throws {
    let (noisy, middle) = (Self.path.point(at: 900), Self.path.point(at: 400))
    for solver in [try DPMSolverMultistep(.sample, order: 2), try DPMSolverMultistep(.sample, order: 3)] {
      #expect(throws: SamplingError.self) { try SamplingPlan(solver, at: [noisy, noisy, middle, Self.path.clean]) }
    }
    #expect(throws: SamplingError.self) {
      try SamplingPlan(FlowRungeKutta(.euler), on: RectifiedFlow(), grid: TrailingGrid(steps: 4), prediction: .epsilon)
    }
    for limit in [0, -1, Double.nan, Double.infinity] {
      #expect(throws: SamplingError.self) { try SamplingPlan(DDIM(), at: [noisy, middle], bound: .clip(limit: limit)) }
    }
  }

  /// A solver from outside: `stages` unread outputs of the model and as many unread sums a step, and `missing` steps
  /// left out.
  struct Wasteful: Solver {
    var stages = 0
    var missing = 0
    var name: String { "wasteful" }
    var order: Int? { nil }

    func compile(_ steps: GridSteps, into plan: inout PlanBuilder) throws(SamplingError) {
      for (s, t) in steps.dropLast(missing) {
        for _ in 0..<stages { _ = plan.evaluate(.sample, at: s) }
        plan.step(t.sigma * .state)
      }
    }
  }

  @Test func unreadTensorsShareAPlace() throws {
    let plan = try SamplingPlan(Wasteful(stages: 5), on: Self.path, grid: TrailingGrid(steps: 4))
    #expect(plan.registerCount == 3 && plan.operations.count == 24 && plan.evaluationCount == 20)
  }

  @Test func everyStepIsCompleted() throws {
    for missing in [1, 2, 4] {
      #expect(throws: SamplingError.self) {
        try SamplingPlan(Wasteful(missing: missing), on: Self.path, grid: TrailingGrid(steps: 4))
      }
    }
  }

  @Test func optionsAreChecked() {
    for eta in [-0.1, 1.1, .nan, .infinity] { #expect(throws: SamplingError.self) { try DDIM(eta: eta) } }
    for order in [Int.min, 0, 4, Int.max] {
      #expect(throws: SamplingError.self) { try DPMSolverMultistep(.sample, order: order) }
      #expect(throws: SamplingError.self) { try DPMSolverSinglestep(.epsilon, order: order) }
    }
    for prediction in [Prediction.velocity, .flow] {
      #expect(throws: SamplingError.self) { try DPMSolverMultistep(prediction, order: 2) }
      #expect(throws: SamplingError.self) { try DPMSolverSinglestep(prediction, order: 2) }
    }
  }

  /// A plan from a file is checked: the executor trusts its registers.
  @Test(arguments: [
    ("\"registerCount\":3", "\"registerCount\":2"), ("\"registerCount\":3", "\"registerCount\":-1"),
    ("\"registerCount\":3", "\"registerCount\":9223372036854775807"),
    ("\"output\":1", "\"output\":7"), ("\"output\":1", "\"output\":-1"),
    ("\"input\":0", "\"input\":2"), ("\"completedStep\":2", "\"completedStep\":3"),
    ("\"completedStep\":1", "\"completedStep\":2"), ("\"grid\":[", "\"grid\":[],\"was\":["),
    ("\"operations\":[", "\"operations\":[],\"was\":["), ("\"register\":0", "\"register\":2"),
  ])
  func brokenPlansAreNotDecoded(_ sound: String, _ broken: String) throws {
    let plan = try SamplingPlan(
      FlowRungeKutta(.euler), on: RectifiedFlow(), grid: TrailingGrid(steps: 2), prediction: .flow)
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let json = try #require(String(data: encoder.encode(plan), encoding: .utf8))
    #expect(try JSONDecoder().decode(SamplingPlan.self, from: Data(json.utf8)) == plan)
    try #require(json.contains(sound), "\(json)")
    for range in json.ranges(of: sound) {
      let changed = json.replacingCharacters(in: range, with: broken)
      #expect(throws: DecodingError.self, "\(changed)") {
        try JSONDecoder().decode(SamplingPlan.self, from: Data(changed.utf8))
      }
    }
  }
}
