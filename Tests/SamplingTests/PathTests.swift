import RealModule
import Sampling
import Testing

@Suite("Noise paths and predictions")
struct PathTests {
  static let schedules: [BetaSchedule] = [
    .linear(start: 0.0001, end: 0.02), .scaledLinear(start: 0.00085, end: 0.012), .squaredCosine,
  ]

  @Test(arguments: schedules) func variancePreserving(_ schedule: BetaSchedule) throws {
    let path = try VariancePreserving(schedule)
    var alphaBar = 1.0
    var last = Double.infinity
    for (timestep, beta) in schedule.betas(count: 1000).enumerated() {
      alphaBar *= 1 - beta
      let point = path.point(at: Double(timestep))
      #expect(abs(point.alpha * point.alpha - alphaBar) <= 1e-13)
      #expect(abs(point.alpha * point.alpha + point.sigma * point.sigma - 1) <= 1e-15)
      #expect(point.lambda < last)
      last = point.lambda
    }
    // The first noise variance is β₀ itself, to its last digit and not to that of 1 - β₀.
    let first = path.point(at: 0)
    #expect(abs(first.sigma * first.sigma / schedule.betas(count: 1)[0] - 1) <= 1e-14 || schedule == .squaredCosine)
  }

  @Test func timeAndLambdaMapToEachOther() throws {
    for path in [VariancePreserving.stableDiffusion, try RectifiedFlow()] as [any NoisePath] {
      for timestep in stride(from: 0.25, to: 999, by: 3.7) {
        let point = path.point(at: timestep)
        let back = path.point(lambda: point.lambda)
        #expect(abs(back.timestep - timestep) < 1e-9)
        #expect(abs(back.alpha - point.alpha) < 1e-12 && abs(back.sigma - point.sigma) < 1e-12)
      }
    }
  }

  @Test func timesAreLimitedToThePath() throws {
    let path = VariancePreserving.stableDiffusion
    #expect(path.point(at: -3) == path.point(at: 0) && path.point(at: 5000) == path.point(at: 999))
    #expect(path.point(lambda: 99) == path.point(at: 0) && path.point(lambda: -99) == path.point(at: 999))
    let flow = try RectifiedFlow()
    #expect(flow.point(at: 2000).sigma == 1 && flow.point(at: -1).sigma == 0)
  }

  @Test func shiftMovesTowardsTheNoise() throws {
    let path = try RectifiedFlow(shift: 3)
    for sigma in stride(from: 0.0, through: 1, by: 0.05) {
      let shifted = path.shifted(sigma)
      #expect(shifted >= sigma && shifted <= 1)
      // The odds are multiplied by the shift.
      if sigma > 0, sigma < 1 { #expect(abs(shifted / (1 - shifted) / (sigma / (1 - sigma)) - 3) < 1e-12) }
    }
  }

  @Test func impossiblePathsAreErrors() {
    for betas in [[], [0.1], [0, 0.1], [0.1, 1], [0.1, .nan], [0.1, -0.1]] {
      #expect(throws: SamplingError.self) { try VariancePreserving(betas: betas) }
    }
    for shift in [0, -1, .nan, .infinity] { #expect(throws: SamplingError.self) { try RectifiedFlow(shift: shift) } }
    #expect(throws: SamplingError.self) { try VariancePreserving(.squaredCosine, trainingTimesteps: 1) }
  }

  @Test func predictionsDetermineEachOther() throws {
    let (sample, noise) = (DoubleTensor([0.3, -2, 1]), DoubleTensor([1.5, 0.2, -0.7]))
    for path in [VariancePreserving.stableDiffusion, try RectifiedFlow()] as [any NoisePath] {
      for timestep in [20.0, 333.3, 700, 990] {
        let point = path.point(at: timestep)
        let state = DoubleTensor.combining((point.alpha, sample), (point.sigma, noise))
        let outputs: [Prediction: DoubleTensor] = [
          .sample: sample, .epsilon: noise, .flow: .combining((1, noise), (-1, sample)),
          .velocity: .combining((point.alpha, noise), (-point.sigma, sample)),
        ]
        for (from, output) in outputs {
          for (to, expected) in outputs {
            let (a, b) = from.coefficients(to: to, at: point)
            let converted = DoubleTensor.combining((a, state), (b, output))
            #expect(converted.relativeError(to: expected) < 1e-11, "\(from) to \(to) at \(timestep)")
          }
        }
      }
    }
  }
}
