import RealModule
import Sampling
import Testing

@Suite("Exact problems")
struct GaussianTests {
  static let point = VariancePreserving.stableDiffusion.point(at: 400)

  /// E[x₀ | x] by quadrature over x₀, for a density known up to a factor: on a smooth integrand that vanishes at both
  /// ends, the plain sum has all digits.
  static func posteriorMean(at x: Double, _ point: TimePoint, _ density: (Double) -> Double) -> Double {
    var (mass, moment) = (0.0, 0.0)
    for index in 0...20000 {
      let sample = -10 + 20 * Double(index) / 20000
      let residual = (x - point.alpha * sample) / point.sigma
      let weight = density(sample) * .exp(-residual * residual / 2)
      mass += weight
      moment += weight * sample
    }
    return moment / mass
  }

  static func normal(_ x: Double, _ mean: Double, _ variance: Double) -> Double {
    Double.exp(-(x - mean) * (x - mean) / (2 * variance)) / variance.squareRoot()
  }

  @Test(arguments: [-2.0, -0.3, 0.4, 1.7], [100.0, 400, 800])
  func theDenoiserIsThePosteriorMean(_ x: Double, _ timestep: Double) {
    let point = VariancePreserving.stableDiffusion.point(at: timestep)
    let gaussian = GaussianData(mean: [0.4], variances: [0.6]).prediction(.sample, of: DoubleTensor([x]), at: point)
    #expect(abs(gaussian.values[0] - Self.posteriorMean(at: x, point) { Self.normal($0, 0.4, 0.6) }) < 1e-12)
    let mixture = GaussianMixtureData([
      .init(weight: 0.25, mean: [-1], variance: 0.2), .init(weight: 0.75, mean: [0.8], variance: 0.5),
    ]).prediction(.sample, of: DoubleTensor([x]), at: point)
    let expected = Self.posteriorMean(at: x, point) {
      0.25 * Self.normal($0, -1, 0.2) + 0.75 * Self.normal($0, 0.8, 0.5)
    }
    #expect(abs(mixture.values[0] - expected) < 1e-12)
  }

  /// A component whose density underflows still counts where it is the nearest.
  @Test func aMixtureIsSoundFarFromItsMeans() {
    let clear = VariancePreserving.stableDiffusion.point(at: 0)
    let data = GaussianMixtureData([
      .init(weight: 1e-9, mean: [-100], variance: 0.01), .init(weight: 1, mean: [100], variance: 0.01),
    ])
    let nearest = GaussianData(mean: [-100], variances: [0.01])
    for x in [-400.0, -100, -1] {
      let state = DoubleTensor([x])
      #expect(
        data.prediction(.sample, of: state, at: clear)
          .relativeError(to: nearest.prediction(.sample, of: state, at: clear)) < 1e-14)
    }
  }

  @Test func twoPointsGiveATangent() {
    let data = GaussianMixtureData([
      .init(weight: 1, mean: [-1], variance: 0), .init(weight: 1, mean: [1], variance: 0),
    ])
    for x in [-1.5, -0.1, 0.6] {
      let expected = Double.tanh(Self.point.alpha * x / (Self.point.sigma * Self.point.sigma))
      let sample = data.prediction(.sample, of: DoubleTensor([x]), at: Self.point).values[0]
      #expect(abs(sample - expected) < 1e-14)
    }
  }

  @Test func aMixtureOfOneIsAGaussian() {
    let state = DoubleTensor([0.3, -0.9])
    for prediction in Prediction.allCases {
      let one = GaussianMixtureData([.init(weight: 3, mean: [0.1, 0.2], variance: 0.7)])
      let gaussian = GaussianData(mean: [0.1, 0.2], variances: [0.7, 0.7])
      #expect(
        one.prediction(prediction, of: state, at: Self.point)
          .relativeError(to: gaussian.prediction(prediction, of: state, at: Self.point)) < 1e-13)
    }
  }

  /// In the eigenvectors' coordinates the problem is one of independent coordinates.
  @Test func rotatedDataGiveRotatedResults() throws {
    let basis = try #require(ExactProblem.data.basis)
    func rotated(_ values: [Double]) -> [Double] { basis.map { zip($0, values).reduce(0) { $0 + $1.0 * $1.1 } } }
    let plain = GaussianData(mean: rotated(ExactProblem.data.mean), variances: ExactProblem.data.variances)
    let (state, turned) = (ExactProblem.start, DoubleTensor(rotated(ExactProblem.start.values)))
    let end = VariancePreserving.stableDiffusion.point(at: 30)
    for prediction in Prediction.allCases {
      let result = ExactProblem.data.prediction(prediction, of: state, at: Self.point)
      #expect(
        DoubleTensor(rotated(result.values))
          .relativeError(to: plain.prediction(prediction, of: turned, at: Self.point)) < 1e-14)
    }
    let result = ExactProblem.data.trajectory(of: state, from: Self.point, to: end)
    #expect(
      DoubleTensor(rotated(result.values)).relativeError(to: plain.trajectory(of: turned, from: Self.point, to: end))
        < 1e-14)
    // The axes as a basis change nothing.
    let axes = GaussianData(
      mean: plain.mean, variances: plain.variances, basis: [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    #expect(
      axes.prediction(.sample, of: turned, at: Self.point) == plain.prediction(.sample, of: turned, at: Self.point))
  }

  /// On any path x = alpha x₀ + sigma ε the flow is x′ = alpha′ x₀ + sigma′ ε with the model's x₀ and ε. A central
  /// difference over 2e-4 of the path knows the slope to 1e-8.
  @Test func theTrajectorySolvesTheEquation() throws {
    for path in [VariancePreserving.stableDiffusion, try RectifiedFlow()] as [any NoisePath] {
      let (data, start) = (ExactProblem.data, ExactProblem.start)
      let (from, point) = (path.point(lambda: -1), path.point(lambda: 0.5))
      let step = 1e-4
      let (before, after) = (path.point(lambda: 0.5 - step), path.point(lambda: 0.5 + step))
      let states = [before, point, after].map { data.trajectory(of: start, from: from, to: $0) }
      let derivative = DoubleTensor.combining((1 / (2 * step), states[2]), (-1 / (2 * step), states[0]))
      let slope = DoubleTensor.combining(
        ((after.alpha - before.alpha) / (2 * step), data.prediction(.sample, of: states[1], at: point)),
        ((after.sigma - before.sigma) / (2 * step), data.prediction(.epsilon, of: states[1], at: point)))
      #expect(derivative.relativeError(to: slope) < 1e-8)
    }
  }

  @Test func trajectoriesAreReversibleAndCompose() {
    let path = VariancePreserving.stableDiffusion
    let (data, start) = (ExactProblem.data, ExactProblem.start)
    for (s, t) in [(999.0, 0.0), (700, 300), (10, 900)] {
      let (from, to) = (path.point(at: s), path.point(at: t))
      let there = data.trajectory(of: start, from: from, to: to)
      #expect(data.trajectory(of: there, from: to, to: from).relativeError(to: start) < 1e-14)
      #expect(data.trajectory(of: start, from: from, to: from).relativeError(to: start) < 1e-15)
      let half = data.trajectory(of: start, from: from, to: Self.point)
      #expect(data.trajectory(of: half, from: Self.point, to: to).relativeError(to: there) < 1e-14)
    }
    // To the clean end as well.
    let clean = data.trajectory(of: start, from: Self.point, to: path.clean)
    #expect(data.trajectory(of: clean, from: path.clean, to: Self.point).relativeError(to: start) < 1e-14)
  }
}
