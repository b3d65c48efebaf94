import RealModule
import Sampling
import Testing

/// As ``DiffusersSumsTests``, of the classes that count in the noise level. Those for variance-preserving models scale
/// the model's input, and their tests step on from what they scaled.
@Suite("diffusers' published sums, noise levels")
struct DiffusersLevelSumsTests {
  typealias Row = DiffusersSum
  typealias Leg = DiffusersSum.Leg

  private static func path() throws -> StraightLevels {
    try StraightLevels(.linear(start: 0.0001, end: 0.02), count: 1100)
  }

  private static func levels(_ karras: Bool = false) throws -> [TimePoint] {
    let path = try path()
    return karras ? try KarrasGrid(steps: 10).points(on: path) : try LinspaceGrid(steps: 10).points(on: path)
  }

  private static func inPlace(
    _ name: String, _ sum: Double, _ mean: Double, _ solver: some Solver, _ points: [TimePoint],
    _ prediction: Prediction = .epsilon, on path: (any NoisePath)? = nil
  ) -> Row {
    Row(name, sum, mean, Leg(solver, points, on: path)) {
      ($0.model, $0.prediction) = (.rescaledInPlace, prediction)
      $0.start = $0.start.map { points[0].sigma * $0 }
    }
  }

  /// The last two steps, from the sample at the highest level and noise at theirs.
  private static func noised(
    _ name: String, _ sum: Double, _ mean: Double, _ solver: some Solver, _ points: [TimePoint],
    on path: (any NoisePath)? = nil
  ) -> Row {
    Row(name, sum, mean, Leg(solver, points[8...], on: path)) {
      $0.model = .rescaledInPlace
      $0.start = zip($0.start, Row.noise(for: $0.start)).map { points[0].sigma * $0 + points[8].sigma * $1 }
    }
  }

  /// Not LMS with noise, 27663.6895: starting at the ninth step the class has one slope and weighs it as the newest of
  /// four.
  @Test func noiseLevels() async throws {
    let (path, points, karras) = (try Self.path(), try Self.levels(), try Self.levels(true))
    let lms = try IPNDM(order: 4, spacing: .uneven)
    try await DiffusersSumsTests.check(
      [
        Self.inPlace("Euler, no noise", 10.0807, 0.0131, Euler(), points),
        Self.inPlace("Euler, v_prediction", 0.0002, 2.2676e-06, Euler(), points, .velocity),
        Self.inPlace("Euler, Karras", 124.52299499511719, 0.16213932633399963, Euler(), karras),
        Self.noised("Euler, noise", 57062.9297, 74.3007, Euler(), points),
        Self.inPlace("Heun, no noise", 0.1233, 0.0002, Heun(), points),
        Self.inPlace("Heun, v_prediction", 4.6934e-07, 6.1112e-10, Heun(), points, .velocity),
        Self.inPlace("Heun, Karras", 0.00015, 1.9869554535034695e-07, Heun(), karras),
        Self.noised("Heun, noise", 75074.8906, 97.7538, Heun(), points),
        Self.inPlace("LMS, no noise", 1006.388, 1.31, lms, points),
        Self.inPlace("LMS, v_prediction", 0.0017, 2.2676e-06, lms, points, .velocity),
        Self.inPlace("LMS, Karras", 3812.9927, 4.9648, lms, karras),
        Self.inPlace("KDPM2, no noise", 20.4125, 0.0266, DPM2(), points, on: path),
        Self.inPlace("KDPM2, v_prediction", 4.6934e-07, 6.1112e-10, DPM2(), points, .velocity, on: path),
        Self.noised("KDPM2, noise", 70408.4062, 91.6776, DPM2(), points, on: path),
      ], count: 14)
  }

  @Test func ancestral() async throws {
    let points = try Self.levels()
    let (euler, second) = (try EulerAncestral(), try SecondOrderAncestral(.dpm2))
    // The tolerance of the same run's `test_full_loop_device`.
    var stochastic = Self.inPlace("KDPM2, no noise", 13979.9433, 18.2030, second, points)
    stochastic.tolerances.sum = 1e-1
    // Not DPMSolverSDEScheduler, whose noise is that of torchsde's Brownian tree.
    try await DiffusersSumsTests.check(
      [
        Self.inPlace("Euler, no noise", 152.3192, 0.1983, euler, points),
        Self.inPlace("Euler, v_prediction", 108.4439, 0.1412, euler, points, .velocity),
        Self.noised("Euler, noise", 56163.0508, 73.1290, euler, points),
        stochastic,
        Self.inPlace("KDPM2, v_prediction", 331.8133, 0.4320, second, points, .velocity),
        Self.noised("KDPM2, noise", 93087.3437, 121.2074, second, points),
      ], count: 6)
  }

  @Test func edm() async throws {
    func points(_ grid: KarrasGrid) throws -> [TimePoint] { try grid.points(on: .edm) }
    let clean = try points(KarrasGrid(steps: 10))
    let repeated = DiffusersSumsTests.almostRepeated(clean)
    let solver = try DPMSolverMultistep(.sample, order: 2)
    func row(_ name: String, _ mean: Double, sign: Double = 1) -> Row {
      Row(name, nil, mean, Leg(solver, repeated)) { ($0.prediction, $0.model) = (.edm, .signed(sign)) }
    }
    try await DiffusersSumsTests.check(
      [
        Row("Euler", 34.1855, 0.044, Leg(Euler(), clean)) {
          ($0.prediction, $0.model, $0.tolerances.sum) = (.edm, .preconditioned(sign: 1), 1e-3)
          $0.start = $0.start.map { (80 * 80 + 1.0).squareRoot() * $0 }
        },
        row("no noise", 0.0001),
        // Karras' F with the other sign.
        row("v_prediction", 0.0092, sign: -1),
        Row("thresholding", nil, 0.0080, Leg(solver, repeated)) {
          ($0.prediction, $0.model) = (.sample, .thresholded(.edm))
        },
        Row("noise", 8.1661, 0.0106, Leg(solver, repeated[5...])) {
          ($0.prediction, $0.start) = (.edm, Row.noised(Row.sample, at: repeated[5]))
        },
      ], count: 5)
  }
}
