import Foundation
import RealModule
import Sampling
import Testing

/// torch 2.13's `randn`, recorded: Tests/Fixtures/torch.
@Suite("Torch's noise")
struct TorchNoiseTests {
  struct Recorded: Decodable {
    struct Call: Decodable {
      let count: Int
      /// The first twenty and the last five of what follows them.
      let values: [Double]
      let sum: Double
      let squares: Double
    }

    struct Generator: Decodable {
      let seed: UInt64
      let calls: [Call]
    }

    struct Run: Decodable {
      let seed: UInt64
      let steps: Int
      let shape: [Int]
      let latents: [Double]
      let result: [Double]
    }

    let draws: [Generator]
    let run: Run

    init() throws {
      let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      self = try JSONDecoder().decode(
        Recorded.self, from: Data(contentsOf: tests.appending(path: "Fixtures/torch/randn.json")))
    }
  }

  /// torch's own cosine and sine are off by up to two units of 2^-24, which the radius, 4 or so, multiplies.
  static func isClose(_ value: Double, _ expected: Double) -> Bool { abs(value - expected) <= 0x1p-21 }

  @Test func drawsAreTorchs() throws {
    let recorded = try Recorded()
    #expect(recorded.draws.count == 4)
    for record in recorded.draws {
      var generator = TorchGenerator(seed: record.seed)
      for call in record.calls {
        let values = generator.randn(call.count).map { Double($0) }
        #expect(values.count == call.count)
        let shown = values.prefix(20) + values.dropFirst(20).suffix(5)
        for (value, expected) in zip(shown, call.values) {
          #expect(Self.isClose(value, expected), "seed \(record.seed), \(call.count): \(value), \(expected)")
        }
        let scale = Double(call.count).squareRoot() * 1e-6
        #expect(shown.count == call.values.count && abs(values.reduce(0, +) - call.sum) < scale)
        #expect(abs(values.reduce(0) { $0 + $1 * $1 } - call.squares) < 4 * scale)
      }
    }
  }

  /// The output of the reference program for the default seed.
  @Test func mersenneTwister() {
    var engine = MersenneTwister(seed: 5489)
    #expect(
      (0..<5).map { _ in engine.next() } == [3_499_211_612, 581_869_302, 3_890_346_734, 3_586_334_585, 545_404_204])
    for _ in 5..<9999 { _ = engine.next() }
    #expect(engine.next() == 4_123_659_995)
  }

  @Test func drawsComeInAnyOrder() {
    let noise = TorchNoise(.shared(seed: 3, batch: 2))
    let inOrder = (0..<4).map { draw in (0..<2).map { noise.values(draw: draw, image: $0, count: 12) } }
    let other = TorchNoise(.shared(seed: 3, batch: 2))
    for draw in [3, 0, 2, 1, 3] {
      for image in [1, 0] { #expect(other.values(draw: draw, image: image, count: 12) == inOrder[draw][image]) }
    }
    // With a generator of its own an image is what it is alone.
    let separate = TorchNoise(.perImage(seeds: [9, 3]))
    let alone = TorchNoise(.shared(seed: 3, batch: 1))
    for draw in 0..<3 {
      #expect(separate.values(draw: draw, image: 1, count: 20) == alone.values(draw: draw, image: 0, count: 20))
    }
  }

  /// A seed gives diffusers' images, a stochastic scheduler's too.
  @Test func aSeedGivesDiffusersImage() async throws {
    let run = try Recorded().run
    let (channels, height, width) = (run.shape[1], run.shape[2], run.shape[3])
    let (shape, count): (Shape, Int) = ([height, width, channels], channels * height * width)
    let noise = TorchNoise(.shared(seed: run.seed, batch: run.shape[0]))
    let plan = try SamplingPlan(
      DDIM(eta: 1), on: .stableDiffusion, grid: LeadingGrid(steps: run.steps, offset: 1, end: .leastNoise))
    let images: [DoubleTensor] = try await plan.run(
      fields: (0..<run.shape[0]).map { NoiseField(seed: 0, image: UInt32($0)) }, shape: shape,
      noise: .torch(noise) { DoubleTensor($0.map { Double($0) }, shape: $1) }
    ) { requests in
      requests.map {
        DoubleTensor(SchedulerCase.model(RecordedTensor($0.state), at: $0.time).base.values, shape: shape)
      }
    }
    for (index, image) in images.enumerated() {
      let expected = run.result[index * count..<(index + 1) * count]
      // Single precision there, double here.
      let difference = expected.enumerated().map { offset, value in
        let (channel, pixel) = (offset / (height * width), offset % (height * width))
        return abs(image.values[pixel * channels + channel] - value)
      }
      #expect((difference.max() ?? 1) < 1e-5 * (expected.map(abs).max() ?? 1))
    }
  }

  @Test func brownianPathsNeedTheField() async throws {
    let points = ExactProblem.points(.stableDiffusion, steps: 4, from: -2, to: 2)
    let plan = try SamplingPlan(DDIM(eta: 1), at: points, noise: .brownian)
    let independent = try SamplingPlan(DDIM(eta: 1), at: points)
    #expect(plan.usesBrownianPath && !independent.usesBrownianPath)
    let noise = TorchNoise(.shared(seed: 1, batch: 1))
    await #expect(throws: SamplingError.self) {
      _ = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: [2, 2, 1],
        noise: .torch(noise) { DoubleTensor($0.map { Double($0) }, shape: $1) }
      ) { requests in requests.map(\.state) }
    }
  }
}
