import Foundation
import RealModule
import Sampling

/// A run of one of diffusers' schedulers on a model that is a formula: Tests/Fixtures/schedulers, whose README has the
/// conventions.
struct SchedulerCase: Decodable, Sendable {
  struct Configuration: Decodable, Sendable {
    let betaSchedule: String?
    let betaStart: Double?
    let betaEnd: Double?
    let clipSample: Bool?
    let clipSampleRange: Double?
    let setAlphaToOne: Bool?
    let stepsOffset: Int?
    let timestepSpacing: String?
    let varianceType: String?
    let algorithmType: String?
    let solverOrder: Int?
    let solverType: String?
    let lowerOrderFinal: Bool?
    let finalSigmasType: String?
    let useKarrasSigmas: Bool?
    let eulerAtFinal: Bool?
    let predictX0: Bool?
    let disableCorrector: [Int]?
    let sigmaData: Double?
    let shift: Double?
    let skipPrkSteps: Bool?
    let originalInferenceSteps: Int?
    let clipDenoised: Bool?
    let interpolationType: String?
    let timestepType: String?
    let invertSigmas: Bool?
    let predictorOrder: Int?
    let correctorOrder: Int?
  }

  struct Arguments: Decodable, Sendable {
    let order: Int?
    let eta: Double?
    let useClippedModelOutput: Bool?
    let sigmas: [Double]?
    let sChurn: Double?
    let sTmin: Double?
    let sTmax: Double?
    let sNoise: Double?
  }

  struct Run: Decodable, Sendable {
    let timesteps: [Double]
    let sigmas: [Double]?
    let initNoiseSigma: Double
    let modelTimes: [Double]
    let latents: [[Double]]
  }

  let name: String
  let scheduler: String
  let config: Configuration
  let predictionType: String
  let steps: Int
  let setTimesteps: Arguments
  let step: Arguments
  let evaluations: Int
  let initial: [Double]
  let noise: [[Double]]?
  /// The run with every float32 of diffusers read as float64.
  let double: Run

  static func all(_ file: String) throws -> [SchedulerCase] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      [SchedulerCase].self, from: Data(contentsOf: tests.appending(path: "Fixtures/schedulers/\(file).json")))
  }

  var prediction: Prediction {
    switch predictionType {
    case "v_prediction": .velocity
    case "flow", "flow_prediction": config.invertSigmas ?? false ? .inverseFlow : .flow
    case "sample": .sample
    default: .epsilon
    }
  }

  func path() throws -> VariancePreserving {
    let (start, end) = (config.betaStart ?? 0, config.betaEnd ?? 0)
    switch config.betaSchedule {
    case "linear": return try VariancePreserving(.linear(start: start, end: end))
    case "squaredcos_cap_v2": return try VariancePreserving(.squaredCosine)
    default: return try VariancePreserving(.scaledLinear(start: start, end: end))
    }
  }

  /// The points that the recorded sigmas, noise relative to signal, and model times stand for. The Heun classes and
  /// KDPM2 list what they visit twice, and KDPM2 the times of its midpoints between.
  var points: [TimePoint] {
    func distinct(_ values: [Double]) -> [Double] {
      values.enumerated().filter { $0 == 0 || values[$0 - 1] != $1 }.map(\.element)
    }
    let (isHeun, isMidpoint) = (scheduler.contains("Heun"), scheduler == "KDPM2DiscreteScheduler")
    let sigmas = isHeun || isMidpoint ? distinct(double.sigmas ?? []) : double.sigmas ?? []
    let times =
      isMidpoint
      ? stride(from: 0, to: double.modelTimes.count, by: 2).map { double.modelTimes[$0] }
      : isHeun ? distinct(double.modelTimes) : double.modelTimes
    return zip(sigmas, times + [0]).map { sigma, time in
      if prediction == .inverseFlow { return TimePoint(timestep: time, alpha: sigma, sigma: 1 - sigma) }
      if prediction == .flow { return TimePoint(timestep: time, alpha: 1 - sigma, sigma: sigma) }
      let alpha = 1 / (1 + sigma * sigma).squareRoot()
      return TimePoint(timestep: time, alpha: alpha, sigma: sigma * alpha)
    }
  }

  /// The formula that stands for a network.
  static func model(_ state: RecordedTensor, at point: TimePoint) -> RecordedTensor {
    RecordedTensor(
      DoubleTensor(
        state.base.values.map { u in
          0.6 * .cos(1.3 * u + 0.001 * point.timestep) + 0.2 * .tanh(u) * (1 - point.timestep / 2000)
        }))
  }

  /// Its second output, of a variance that it has learned.
  static func variance(_ state: RecordedTensor, at point: TimePoint) -> RecordedTensor {
    RecordedTensor(DoubleTensor(state.base.values.map { .tanh(1.1 * $0 - 0.002 * point.timestep) }))
  }
}

/// Doubles whose noise was recorded: fresh draw n of a run, counted from 1, is row n - 1.
struct RecordedTensor: ElementTensor {
  @TaskLocal static var noise: [[Double]] = []

  var base: DoubleTensor
  var shape: Shape { base.shape }

  init(_ base: DoubleTensor) { self.base = base }
  init(zeros shape: Shape) { base = DoubleTensor(zeros: shape) }
  init(elements: [Double], shape: Shape) { base = DoubleTensor(elements, shape: shape) }

  var elementValues: [Double] { base.values }

  mutating func assign(_ combination: LinearCombination<RecordedTensor>) {
    var terms = combination.terms.map { LinearCombination<DoubleTensor>.Term($0.coefficient, $0.operand.base) }
    for noise in combination.noises {
      terms.append(.init(noise.coefficient, DoubleTensor(Self.noise[Int(noise.field.stream) - 1])))
    }
    base.assign(.init(terms))
  }

  mutating func clamp(to bounds: ClosedRange<Double>) { base.clamp(to: bounds) }
  func innerProduct(_ other: RecordedTensor) -> Double { base.innerProduct(other.base) }
  func sum() -> Double { base.sum() }
  func magnitudeQuantile(_ q: Double) -> Double { base.magnitudeQuantile(q) }
}
