import RealModule
import Sampling
import Testing

@Suite("Exact problems")
struct GaussianTests {
  static let point = VariancePreserving.stableDiffusion.point(at: 400)

  /// E[x₀ | x] by quadrature over x₀, for a density known up to a factor.
  static func posteriorMean(at x: Double, _ density: (Double) -> Double) -> Double {
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

  @Test(arguments: [-2.0, -0.3, 0.4, 1.7]) func theDenoiserIsThePosteriorMean(_ x: Double) {
    let gaussian = GaussianData(mean: [0.4], variances: [0.6]).prediction(
      .sample, of: DoubleTensor([x]), at: Self.point)
    #expect(abs(gaussian.values[0] - Self.posteriorMean(at: x) { Self.normal($0, 0.4, 0.6) }) < 1e-9)
    let mixture = GaussianMixtureData([
      .init(weight: 0.25, mean: [-1], variance: 0.2), .init(weight: 0.75, mean: [0.8], variance: 0.5),
    ]).prediction(.sample, of: DoubleTensor([x]), at: Self.point)
    let expected = Self.posteriorMean(at: x) {
      0.25 * Self.normal($0, -1, 0.2) + 0.75 * Self.normal($0, 0.8, 0.5)
    }
    #expect(abs(mixture.values[0] - expected) < 1e-9)
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

  /// x′ in lambda of the probability-flow ODE: with dalpha/dλ = alpha sigma² and dsigma/dλ = -sigma alpha² on the
  /// variance-preserving path, dx/dλ = alpha sigma² x₀ - sigma alpha² ε.
  @Test func theTrajectorySolvesTheEquation() {
    let path = VariancePreserving.stableDiffusion
    let (data, start, from) = (ExactProblem.data, ExactProblem.start, path.point(lambda: -1))
    let step = 1e-4
    let ends = [0.5 - step, 0.5, 0.5 + step].map { data.trajectory(of: start, from: from, to: path.point(lambda: $0)) }
    let derivative = DoubleTensor.combining((1 / (2 * step), ends[2]), (-1 / (2 * step), ends[0]))
    let point = path.point(lambda: 0.5)
    let slope = DoubleTensor.combining(
      (point.alpha * point.sigma * point.sigma, data.prediction(.sample, of: ends[1], at: point)),
      (-point.sigma * point.alpha * point.alpha, data.prediction(.epsilon, of: ends[1], at: point)))
    #expect(derivative.relativeError(to: slope) < 1e-7)
    #expect(data.trajectory(of: ends[1], from: point, to: from).relativeError(to: start) < 1e-13)
    #expect(data.trajectory(of: start, from: from, to: from).relativeError(to: start) < 1e-14)
  }
}
