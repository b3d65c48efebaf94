import RealModule
import Sampling
import Testing

@Suite("Predictions")
struct PredictionTests {
  static let sample = DoubleTensor([0.3, -2, 1])
  static let noise = DoubleTensor([1.5, 0.2, -0.7])

  static func points() throws -> [TimePoint] {
    try [VariancePreserving.stableDiffusion, VariancePreserving(.squaredCosine), RectifiedFlow()]
      .flatMap { (path: any NoisePath) in
        [0.5, 1, 20, 333.3, 500, 700, 990, 998].map { path.point(at: $0) }
      }
  }

  /// The definitions, written out.
  static func output(_ prediction: Prediction, at point: TimePoint) -> DoubleTensor {
    switch prediction {
    case .sample: sample
    case .epsilon: noise
    case .flow: .combining((1, noise), (-1, sample))
    case .inverseFlow: .combining((1, sample), (-1, noise))
    case .velocity:
      .combining(
        (point.alpha / point.standardDeviation, noise), (-point.sigma / point.standardDeviation, sample))
    case .edm:
      // F = (x₀ - c_skip x) / c_out, as in table 1 of Karras et al.; 1 - c_skip is 4 level² c_skip.
      {
        let level = point.noiseToSignal
        let (skip, out) = (0.25 / (level * level + 0.25), 0.5 * level / (level * level + 0.25).squareRoot())
        return .combining((4 * level * level * skip / out, sample), (-skip * level / out, noise))
      }()
    }
  }

  /// Roundings of the two products that are added, of numbers up to 3.
  static func roundings(_ coefficients: (state: Double, output: Double)) -> Double {
    8 * Double.ulpOfOne * (1 + 3 * (abs(coefficients.state) + abs(coefficients.output)))
  }

  @Test(arguments: Prediction.allCases, Prediction.allCases)
  func predictionsDetermineEachOther(_ from: Prediction, _ to: Prediction) throws {
    for point in try Self.points() {
      let state = DoubleTensor.combining((point.alpha, Self.sample), (point.sigma, Self.noise))
      let coefficients = from.coefficients(to: to, at: point)
      let converted = DoubleTensor.combining(
        (coefficients.state, state), (coefficients.output, Self.output(from, at: point)))
      let difference = DoubleTensor.combining((1, converted), (-1, Self.output(to, at: point)))
      #expect(difference.rootMeanSquare() <= Self.roundings(coefficients), "at \(point)")
    }
  }

  /// target = a x + b m and m = a′ x + b′ target: b b′ is 1 and a′ + b′ a is 0, to the roundings of its terms.
  @Test(arguments: Prediction.allCases, Prediction.allCases)
  func thereAndBackIsTheIdentity(_ from: Prediction, _ to: Prediction) throws {
    for point in try Self.points() {
      let there = from.coefficients(to: to, at: point)
      let back = to.coefficients(to: from, at: point)
      #expect(abs(back.output * there.output - 1) <= 1e-15)
      #expect(abs(back.state + back.output * there.state) <= 4 * Double.ulpOfOne * (1 + abs(back.state)))
    }
  }

  /// Not finite where a prediction says nothing about the target, finite everywhere else.
  @Test(arguments: Prediction.allCases, Prediction.allCases)
  func theEndsOfAPathLeaveSomethingOpen(_ from: Prediction, _ to: Prediction) {
    let clean = TimePoint(timestep: 0, alpha: 1, sigma: 0)
    let noise = TimePoint(timestep: 1000, alpha: 0, sigma: 1)
    for (point, uninformative) in [(clean, Prediction.sample), (noise, .epsilon)] {
      let (state, output) = from.coefficients(to: to, at: point)
      let isDetermined = from == to || from != uninformative
      #expect((state.isFinite && output.isFinite) == isDetermined, "\(from) to \(to) at \(point)")
    }
  }
}
