import Foundation
import Sampling
import Testing

/// DDPM with variances that are a second output of the model. Against diffusers: `DiffusersParityTests.ddpm`.
@Suite("Learned variances")
struct LearnedVarianceTests {
  private static let shape = RunTests.shape

  private static func plan(_ variance: DDPM.Variance, noise: NoiseCorrelation = .independent) throws -> SamplingPlan {
    try SamplingPlan(
      DDPM(variance: variance), on: .stableDiffusion, grid: TrailingGrid(steps: 9), noise: noise)
  }

  /// Runs on the exact denoiser, whose second output is a formula of the request.
  private static func image(
    _ plan: SamplingPlan, guidance: some Guidance = Unguided(),
    variance: (DenoiserRequest<DoubleTensor>) -> DoubleTensor
  ) async throws -> DoubleTensor {
    try await plan.run(seed: 3, shape: shape, guidance: guidance) { requests in
      RunTests.denoise(plan.prediction)(requests) + requests.map(variance)
    }
  }

  private static func constant(_ value: Double) -> DoubleTensor {
    DoubleTensor(Array(repeating: value, count: shape.count), shape: shape)
  }

  /// The ends of the range are the two variances that are fixed, and what lies between them leads elsewhere.
  @Test(arguments: [NoiseCorrelation.independent, .brownian])
  func rangesEndAtTheFixedVariances(_ noise: NoiseCorrelation) async throws {
    let ranged = try Self.plan(.learnedRange, noise: noise)
    #expect(ranged.readsVariance && ranged.evaluationCount == 9)
    for (value, variance) in [(-1.0, DDPM.Variance.fixedSmall), (1, .fixedLarge)] {
      let fixed = try Self.plan(variance, noise: noise)
      #expect(!fixed.readsVariance)
      let expected: DoubleTensor = try await fixed.run(
        seed: 3, shape: Self.shape, denoise: RunTests.denoise(.epsilon))
      let image = try await Self.image(ranged) { _ in Self.constant(value) }
      #expect(image.relativeError(to: expected) < 1e-13, "\(variance)")
      let between = try await Self.image(ranged) { _ in Self.constant(0) }
      #expect(between.relativeError(to: expected) > 1e-3)
    }
  }

  /// The logarithm itself, element by element: half the elements have next to no noise, and end where a run without
  /// does.
  @Test func logarithmsAreVariances() async throws {
    let image = try await Self.image(Self.plan(.learned)) { _ in
      DoubleTensor((0..<Self.shape.count).map { $0 % 2 == 0 ? -80 : -3 }, shape: Self.shape)
    }
    let noiseless = try await Self.image(Self.plan(.learned)) { _ in Self.constant(-80) }
    for (index, (value, expected)) in zip(image.values, noiseless.values).enumerated() {
      #expect((abs(value - expected) < 1e-12) == (index % 2 == 0), "element \(index)")
    }
  }

  /// Guidance has no say in it: the variance is the prompt's.
  @Test func theVarianceIsThatOfThePrompt() async throws {
    let plan = try Self.plan(.learnedRange)
    let guidance = try ClassifierFreeGuidance(scale: 3)
    let image = try await Self.image(plan, guidance: guidance) {
      Self.constant($0.branch == .conditional ? 1 : .nan)
    }
    let expected: DoubleTensor = try await Self.plan(.fixedLarge).run(
      seed: 3, shape: Self.shape, guidance: guidance, denoise: RunTests.denoise(.epsilon))
    #expect(image.relativeError(to: expected) < 1e-13)
  }

  /// Another program runs the plan by the document alone.
  @Test func thePlansAreData() async throws {
    for variance in [DDPM.Variance.learned, .learnedRange] {
      let plan = try Self.plan(variance)
      #expect(plan.description.contains("variance r") && plan.description.contains(" z1"))
      let json = try JSONEncoder().encode(plan)
      #expect(try JSONDecoder().decode(SamplingPlan.self, from: json) == plan)
      let data = PlanFormatTests.data
      let expected: DoubleTensor = try await plan.run(seed: 5, shape: [12]) { requests in
        let outputs = requests.map { data.prediction(.epsilon, of: $0.state, at: $0.time) }
        return outputs + outputs.map { DoubleTensor(PlanInterpreter.variance($0.values)) }
      }
      let field = NoiseField(seed: 5)
      let result = try PlanInterpreter(json).run(
        noise: { DoubleTensor(noise: field.with(stream: UInt32($0)), shape: [12]).values },
        model: { state, timestep, alpha, sigma in
          data.prediction(
            .epsilon, of: DoubleTensor(state), at: .init(timestep: timestep, alpha: alpha, sigma: sigma)
          ).values
        })
      #expect(result == expected.values)
    }
  }

  @Test func whatDoesNotFitIsRefused() async throws {
    let plan = try Self.plan(.learnedRange)
    await #expect(throws: SamplingError.self) {
      let _: DoubleTensor = try await plan.run(
        seed: 3, shape: Self.shape, denoise: RunTests.denoise(.epsilon))
    }
    let error = await #expect(throws: SamplingError.self) {
      let _: LinearForm = try await plan.run(seed: 3, shape: []) { requests in requests.map(\.state) }
    }
    #expect(error?.description.contains("LinearForm") ?? false)
  }
}
