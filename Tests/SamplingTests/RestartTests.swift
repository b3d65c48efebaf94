import RealModule
import Sampling
import Testing

@Suite("Restart")
struct RestartTests {
  static let path = VariancePreserving.stableDiffusion
  static let mean = 0.7
  static let variance = 0.3

  static func points(steps: Int) -> [TimePoint] {
    (0...steps).map { path.point(lambda: -2.6 + 5.6 * Double($0) / Double(steps)) }
  }

  /// The result on Gaussian data, as a linear form in the draws, started `shift` standard deviations off.
  static func result(_ solver: some Solver, steps: Int, shift: Double = 0) async throws -> (LinearForm, TimePoint, Int)
  {
    let points = points(steps: steps)
    let start = points[0]
    let deviation = (start.alpha * start.alpha * variance + start.sigma * start.sigma).squareRoot()
    let plan = try SamplingPlan(solver, at: points, on: path, prediction: .sample)
    let result = try await plan.sample(
      fields: [NoiseField(seed: 0)], shape: [],
      start: .states([LinearForm([0: deviation], constant: start.alpha * mean + shift * deviation)])
    ) { (requests: [DenoiserRequest<LinearForm>]) in
      requests.map { request in
        let (alpha, sigma) = (request.time.alpha, request.time.sigma)
        let gain = alpha * variance / (alpha * alpha * variance + sigma * sigma)
        var guess = LinearForm.combining((gain, request.state))
        guess.constant += mean - gain * alpha * mean
        return guess
      }
    }[0]
    return (result.state, points[steps], result.evaluations)
  }

  static func restart(cycles: Int) throws -> Restart<DPMSolverMultistep> {
    try Restart(DPMSolverMultistep(.sample, order: 2), levels: 0.3...3, cycles: cycles)
  }

  /// Mean and variance converge to the data's with the base solver's order: the noise added is the right one.
  @Test(arguments: [1, 4]) func theDistributionConverges(_ cycles: Int) async throws {
    var errors: [Double] = []
    for steps in [56, 112, 224] {
      let (state, end, _) = try await Self.result(Self.restart(cycles: cycles), steps: steps)
      let exact = end.alpha * end.alpha * Self.variance + end.sigma * end.sigma
      #expect(abs(state.constant - end.alpha * Self.mean) < 1e-12)
      errors.append(abs(state.variance / exact - 1))
    }
    print("Restart, \(cycles) cycles: variance off by \(errors)")
    for (coarse, fine) in zip(errors, errors.dropFirst()) { #expect(abs(.log(coarse / fine) / .log(2) - 2) < 0.15) }
  }

  /// An error of the start is made smaller by every cycle, by the share of the state that the noise replaces.
  @Test func errorsContract() async throws {
    var shifts: [Double] = []
    for cycles in [1, 2, 3] {
      let (shifted, end, _) = try await Self.result(Self.restart(cycles: cycles), steps: 200, shift: 1)
      shifts.append(abs(shifted.constant - end.alpha * Self.mean))
    }
    let (base, end, _) = try await Self.result(DPMSolverMultistep(.sample, order: 2), steps: 200, shift: 1)
    shifts.insert(abs(base.constant - end.alpha * Self.mean), at: 0)
    // x - alpha μ over the state's deviation is kept by the flow and lowered by noise to √(s²_low / s²_high), in units
    // of alpha.
    let points = Self.points(steps: 200)
    func nearest(_ level: Double) -> Double {
      points.map(\.noiseToSignal).min { abs($0 - level) < abs($1 - level) } ?? 0
    }
    let (low, high) = (nearest(0.3), nearest(3))
    let ratio = ((Self.variance + low * low) / (Self.variance + high * high)).squareRoot()
    for (before, after) in zip(shifts, shifts.dropFirst()) {
      #expect(abs(after / before / ratio - 1) < 1e-3, "\(shifts), expected \(ratio)")
    }
  }

  @Test func everyCycleIsPaidFor() async throws {
    let plain = try await Self.result(DPMSolverMultistep(.sample, order: 2), steps: 40).2
    let points = Self.points(steps: 40)
    let restarted = try await (1...2).asyncMap { try await Self.result(Self.restart(cycles: $0), steps: 40).2 }
    let between = points.count { (0.3...3).contains($0.noiseToSignal) }
    #expect(plain == 40 && restarted[1] - restarted[0] == restarted[0] - plain)
    #expect(abs(restarted[0] - plain - between) <= 2)
  }

  @Test func optionsAreChecked() throws {
    let base = try DPMSolverMultistep(.sample, order: 2)
    for (low, high) in [(0.0, 1.0), (1, .infinity), (2, 2)] {
      #expect(throws: SamplingError.self) { try Restart(base, levels: low...high, cycles: 1) }
    }
    for cycles in [0, -1, 1001] {
      #expect(throws: SamplingError.self) { try Restart(base, levels: 1...2, cycles: cycles) }
    }
    // Nothing between the levels.
    #expect(throws: SamplingError.self) {
      try SamplingPlan(Restart(base, levels: 1...1.001, cycles: 1), at: Self.points(steps: 4), prediction: .sample)
    }
  }
}

extension Sequence {
  func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
    var results: [T] = []
    for element in self { results.append(try await transform(element)) }
    return results
  }
}
