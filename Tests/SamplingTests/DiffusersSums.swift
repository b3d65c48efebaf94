import RealModule
import Sampling
import Testing

/// A run of the scheduler tests in diffusers' repository, tests/schedulers: a model that is a formula, a starting state
/// that is one, and the sum and the mean of the magnitudes of what comes out, as published there.
struct DiffusersSum: Sendable {
  /// The steps of one plan.
  struct Leg: Sendable {
    let solver: any Solver
    let points: [TimePoint]
    /// Where the points between are; nil to interpolate.
    let path: (any NoisePath)?

    init(_ solver: some Solver, _ points: some Sequence<TimePoint>, on path: (any NoisePath)? = nil) {
      (self.solver, self.points, self.path) = (solver, Array(points), path)
    }
  }

  /// What stands between the state and the model, and between the model and the plan.
  enum Model: Sendable {
    /// Nothing.
    case plain
    /// The scheduler's `scale_model_input`, which these tests put in the place of the state itself: the step then goes
    /// on from it. The state is that of a path with alpha 1.
    case rescaledInPlace
    /// The state divided by the root of σ² + 1/4; the output times a sign.
    case preconditioned(sign: Double)
    /// The output times a sign.
    case signed(Double)
    /// Dynamic thresholding with a maximum of 1/2, below the 1 that it is to be at least: every x₀ is limited to ± 1/2
    /// and doubled. Fewstep refuses such a maximum, and here the model does it.
    case thresholded(Prediction)
  }

  /// diffusers' class and test.
  let name: String
  /// nil where only the mean is published.
  let sum: Double?
  let mean: Double
  var tolerances = (sum: 1e-2, mean: 1e-3)
  var prediction = Prediction.epsilon
  var bound: SampleBound?
  var start = Self.sample
  var model = Model.plain
  let legs: [Leg]
  /// Which of the generator's draws is the plan's nth; nil where all are.
  var draws: [Int]?
  var leavesNoiseOut = false
  /// The sum in double precision, where single precision moves the published one by more than its tolerance.
  var exactSum: Double?

  init(_ name: String, _ sum: Double?, _ mean: Double, _ legs: Leg..., configure: (inout Self) -> Void = { _ in }) {
    (self.name, self.sum, self.mean, self.legs) = (name, sum, mean, legs)
    configure(&self)
  }

  /// `dummy_sample_deter`: 0/n, 1/n ... as [channels, height, width, batch], the batch then put first.
  static func sample(batch: Int = 4, elements: Int) -> [Double] {
    let count = batch * elements
    return (0..<count).map { Double($0 % elements * batch + $0 / elements) / Double(count) }
  }

  static let sample = sample(elements: 192)

  /// `dummy_noise_deter`: the sample from its end.
  static func noise(for sample: [Double]) -> [Double] {
    sample.map { Double(sample.count - 1) / Double(sample.count) - $0 }
  }

  /// `add_noise` at `point`.
  static func noised(_ sample: [Double], at point: TimePoint) -> [Double] {
    zip(sample, noise(for: sample)).map { point.alpha * $0 + point.sigma * $1 }
  }

  /// The result of all legs, each going on from the one before.
  func result() async throws -> [Double] {
    let noise = TorchNoise(.shared(seed: 0, batch: 1))
    let (draws, leavesNoiseOut) = (draws, leavesNoiseOut)
    var state = SharedTensor(start)
    for leg in legs {
      let plan = try SamplingPlan(
        leg.solver, at: leg.points, on: leg.path, prediction: prediction, bound: bound)
      state = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: [start.count], start: .states([state]),
        noise: .custom { _, stream, shape in
          if leavesNoiseOut { return SharedTensor(zeros: shape) }
          let index = Int(stream) - 1
          return SharedTensor(
            noise.values(draw: draws?[index] ?? index, image: 0, count: shape.count).map { Double($0) })
        }
      ) { requests in requests.map { output(of: $0.state, at: $0.time) } }[0]
    }
    return state.values
  }

  private func output(of state: SharedTensor, at point: TimePoint) -> SharedTensor {
    let factor = point.timestep / (point.timestep + 1)
    let sigma = point.sigma
    switch model {
    case .plain: return SharedTensor(state.values.map { factor * $0 })
    case .signed(let sign): return SharedTensor(state.values.map { sign * factor * $0 })
    case .preconditioned(let sign):
      let scale = sign * factor / (sigma * sigma + 0.25).squareRoot()
      return SharedTensor(state.values.map { scale * $0 })
    case .rescaledInPlace:
      state.scale(by: 1 / (sigma * sigma + 1).squareRoot())
      return SharedTensor(state.values.map { factor * $0 })
    case .thresholded(let prediction):
      let (p, q) = prediction.coefficients(to: .sample, at: point)
      return SharedTensor(state.values.map { 2 * min(max(p * $0 + q * factor * $0, -0.5), 0.5) })
    }
  }
}

/// Doubles whose copies share their elements, so that a model can change the state that it sees.
final class SharedElements: @unchecked Sendable {
  var values: [Double]
  init(_ values: [Double]) { self.values = values }
}

struct SharedTensor: Tensor {
  private var elements: SharedElements
  var values: [Double] { elements.values }
  var shape: Shape { [values.count] }

  init(_ values: [Double]) { elements = SharedElements(values) }
  init(zeros shape: Shape) { self.init([Double](repeating: 0, count: shape.count)) }

  /// Of all copies.
  func scale(by factor: Double) { elements.values = values.map { factor * $0 } }

  /// The noises are operands here.
  mutating func assign(_ combination: LinearCombination<SharedTensor>) {
    precondition(combination.noises.isEmpty)
    var sums = [Double](repeating: 0, count: values.count)
    for term in combination.terms {
      for (index, value) in term.operand.values.enumerated() { sums[index] += term.coefficient * value }
    }
    self = SharedTensor(sums)
  }

  mutating func clamp(to bounds: ClosedRange<Double>) {
    self = SharedTensor(values.map { min(max($0, bounds.lowerBound), bounds.upperBound) })
  }

  func innerProduct(_ other: SharedTensor) -> Double { zip(values, other.values).reduce(0) { $0 + $1.0 * $1.1 } }
  func sum() -> Double { values.reduce(0, +) }
  func magnitudeQuantile(_ q: Double) -> Double { DoubleTensor(values).magnitudeQuantile(q) }
}

/// σ / alpha of a variance-preserving model as diffusers' solvers in the noise level have it: straight lines between
/// whole timesteps, the time of a level by its logarithm, and the state in units of alpha.
struct StraightLevels: NoisePath {
  let levels: [Double]

  /// In single precision: the published sums tell.
  init(_ schedule: BetaSchedule, count: Int) throws {
    let path = try VariancePreserving(schedule, trainingTimesteps: count)
    levels = (0..<count).map { path.point(at: Double($0)) }.rounded(betas: schedule.betas(count: count)).map {
      Double(Float($0.noiseToSignal))
    }
  }

  var trainingTimesteps: Int { levels.count }
  var timesteps: ClosedRange<Double> { 0...Double(levels.count - 1) }

  func point(at timestep: Double) -> TimePoint {
    let index = min(Int(timestep), levels.count - 2)
    let fraction = timestep - Double(index)
    return TimePoint(
      timestep: timestep, alpha: 1, sigma: levels[index] * (1 - fraction) + levels[index + 1] * fraction)
  }

  func point(lambda: Double) -> TimePoint {
    let level = min(max(Double.exp(-lambda), levels[0]), levels[levels.count - 1])
    let index = max(1, levels.firstIndex { $0 >= level } ?? levels.count - 1) - 1
    let fraction = Double.log(level / levels[index]) / .log(levels[index + 1] / levels[index])
    return TimePoint(timestep: Double(index) + fraction, alpha: 1, sigma: level)
  }
}

extension Sequence<TimePoint> {
  /// At the whole timesteps of a path of these β: alpha and sigma as diffusers has them, each β, each 1 - β, each ᾱ and
  /// each 1 - ᾱ rounded to single precision.
  func rounded(betas: [Double]) -> [TimePoint] {
    var product = 1.0
    let alphaBars = betas.map { beta in
      product *= Double(1 - Float(beta))
      return Float(product)
    }
    return map { point in
      guard !point.isClean else { return point }
      let alphaBar = alphaBars[Int(point.timestep)]
      return TimePoint(
        timestep: point.timestep, alpha: Double(alphaBar).squareRoot(), sigma: Double(1 - alphaBar).squareRoot())
    }
  }
}
