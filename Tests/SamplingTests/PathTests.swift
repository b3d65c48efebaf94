import RealModule
import Sampling
import Testing

@Suite("Noise paths")
struct PathTests {
  static let schedules: [BetaSchedule] = [
    .linear(start: 0.0001, end: 0.02), .scaledLinear(start: 0.00085, end: 0.012), .squaredCosine,
  ]

  static func paths() throws -> [any NoisePath] {
    try schedules.map { try VariancePreserving($0) } + [RectifiedFlow(), RectifiedFlow(shift: 3)]
  }

  /// alpha² is ᾱ = Π (1 - β), and sigma² is 1 - ᾱ by a recurrence of positive terms, which loses no digits: both agree
  /// to the roundings of a thousand factors, however small they are.
  @Test(arguments: schedules) func theBetasDefineThePath(_ schedule: BetaSchedule) throws {
    let path = try VariancePreserving(schedule)
    var (signal, noise) = (1.0, 0.0)
    for (timestep, beta) in schedule.betas(count: 1000).enumerated() {
      signal *= 1 - beta
      noise = noise * (1 - beta) + beta
      let point = path.point(at: Double(timestep))
      #expect(point.timestep == Double(timestep))
      #expect(abs(point.alpha * point.alpha / signal - 1) <= 1e-13, "at \(timestep)")
      #expect(abs(point.sigma * point.sigma / noise - 1) <= 1e-13, "at \(timestep)")
    }
  }

  @Test func schedulesHaveTheirEnds() {
    let scaled = BetaSchedule.scaledLinear(start: 0.00085, end: 0.012).betas(count: 1000)
    #expect(abs(scaled[0] / 0.00085 - 1) < 1e-15 && abs(scaled[999] / 0.012 - 1) < 1e-15)
    #expect(BetaSchedule.linear(start: 0.1, end: 0.3).betas(count: 3) == [0.1, 0.2, 0.3])
    let cosine = BetaSchedule.squaredCosine.betas(count: 1000)
    #expect(cosine[999] == 0.999 && cosine.dropLast().allSatisfy { $0 < 0.999 })
    for schedule in Self.schedules {
      let betas = schedule.betas(count: 1000)
      #expect(zip(betas, betas.dropFirst()).allSatisfy(<), "\(schedule)")
    }
  }

  @Test func signalAndNoiseAreComplementary() throws {
    for path in try Self.paths() {
      for timestep in stride(from: 0, through: 1000, by: 0.37) {
        let point = path.point(at: timestep)
        let sum =
          path is RectifiedFlow ? point.alpha + point.sigma : point.alpha * point.alpha + point.sigma * point.sigma
        #expect(abs(sum - 1) <= 2 * Double.ulpOfOne)
      }
    }
  }

  @Test func noiseGrowsWithTime() throws {
    for path in try Self.paths() {
      let times = stride(from: path.timesteps.lowerBound, through: path.timesteps.upperBound, by: 0.125)
      let lambdas = times.map { path.point(at: $0).lambda }
      #expect(zip(lambdas, lambdas.dropFirst()).allSatisfy(>))
    }
  }

  /// To a few roundings of lambda, which a time is off by in proportion to dt/dλ.
  @Test func timeAndLambdaMapToEachOther() throws {
    for path in try Self.paths() {
      for timestep in Array(stride(from: 0.25, to: 999, by: 3.7)) + [1, 500, 998, 999] {
        let point = path.point(at: timestep)
        let slope = (path.point(at: timestep + 0.01).lambda - path.point(at: timestep - 0.01).lambda) / 0.02
        let back = path.point(lambda: point.lambda)
        #expect(abs(back.timestep - timestep) <= 1e-14 / abs(slope) + 1e-12, "at \(timestep)")
        // A straight path's alpha is 1 - sigma to the digits of 1.
        #expect(abs(back.lambda - point.lambda) <= (8 + 2 / point.alpha) * Double.ulpOfOne, "at \(timestep)")
        #expect(abs(back.alpha - point.alpha) <= 2 * Double.ulpOfOne)
        #expect(abs(back.sigma - point.sigma) <= 2 * Double.ulpOfOne)
      }
    }
  }

  /// Between integer timesteps lambda is a straight line.
  @Test func lambdaIsInterpolated() {
    let path = VariancePreserving.stableDiffusion
    for timestep in [0.0, 431, 998] {
      let (left, right) = (path.point(at: timestep).lambda, path.point(at: timestep + 1).lambda)
      for fraction in [0.25, 0.5, 0.9] {
        let expected = left + fraction * (right - left)
        #expect(abs(path.point(at: timestep + fraction).lambda - expected) <= 4e-15)
      }
    }
  }

  @Test func timesAreLimitedToThePath() throws {
    let path = VariancePreserving.stableDiffusion
    #expect(path.timesteps == 0...999 && path.trainingTimesteps == 1000)
    #expect(path.point(at: -3) == path.point(at: 0) && path.point(at: 5000) == path.point(at: 999))
    #expect(path.point(at: -.infinity) == path.point(at: 0) && path.point(at: .infinity) == path.point(at: 999))
    #expect(path.point(lambda: 99) == path.point(at: 0) && path.point(lambda: -99) == path.point(at: 999))
    #expect(path.point(lambda: .infinity) == path.point(at: 0))
    #expect(path.clean == TimePoint(timestep: 0, alpha: 1, sigma: 0) && path.clean.isClean)
    #expect(path.clean.lambda == .infinity && path.clean.noiseToSignal == 0)
    let flow = try RectifiedFlow()
    #expect(flow.timesteps == 0...1000)
    #expect(flow.point(at: 2000) == flow.point(at: 1000) && flow.point(at: -1) == flow.clean)
    #expect(flow.point(lambda: .infinity) == flow.clean && flow.point(lambda: -.infinity) == flow.point(at: 1000))
  }

  /// The odds sigma / (1 - sigma) are multiplied by the shift, so shifts compose and their inverses undo them.
  @Test(arguments: [0.2, 0.7, 1, 3, 3.1, 12]) func shiftMultipliesTheOdds(_ shift: Double) throws {
    let path = try RectifiedFlow(shift: shift)
    let inverse = try RectifiedFlow(shift: 1 / shift)
    let twice = try RectifiedFlow(shift: shift * shift)
    #expect(path.shifted(0) == 0 && path.shifted(1) == 1)
    for sigma in stride(from: 0.05, to: 1, by: 0.05) {
      let shifted = path.shifted(sigma)
      #expect(abs(shifted / (1 - shifted) / (sigma / (1 - sigma)) / shift - 1) < 2e-14)
      #expect(abs(inverse.shifted(shifted) - sigma) < 1e-15 * max(1, shift))
      #expect(abs(twice.shifted(sigma) - path.shifted(shifted)) < 1e-15)
      // The path itself stays: only grids move.
      #expect(path.point(sigma: sigma) == TimePoint(timestep: 1000 * sigma, alpha: 1 - sigma, sigma: sigma))
    }
  }

  @Test func impossiblePathsAreErrors() {
    for betas in [[], [0.1], [0, 0.1], [0.1, 1], [0.1, .nan], [0.1, -0.1], [0.1, .infinity], [0.5, 1e-17]] {
      let error = #expect(throws: SamplingError.self) { try VariancePreserving(betas: betas) }
      guard case .invalidBetas = error else {
        Issue.record("\(betas): \(String(describing: error))")
        continue
      }
    }
    for count in [Int.min, 0, 1, 1_000_001, Int.max] {
      #expect(throws: SamplingError.self) { try VariancePreserving(.squaredCosine, trainingTimesteps: count) }
    }
    #expect(throws: SamplingError.self) { try VariancePreserving(.scaledLinear(start: -0.1, end: 0.1)) }
    for shift in [0, -1, Double.infinity, -Double.infinity] {
      #expect(throws: SamplingError.invalidShift(shift)) { try RectifiedFlow(shift: shift) }
    }
    #expect(throws: SamplingError.self) { try RectifiedFlow(shift: .nan) }
    #expect(throws: SamplingError.self) { try RectifiedFlow(trainingTimesteps: 0) }
  }
}
