import RealModule
import Sampling
import Testing

/// The sums and means that the tests in diffusers' repository publish, within their own tolerances.
///
/// Where a test says "not", the number there cannot be had, and why. Left out are ScoreSdeVeScheduler, whose corrector
/// is Langevin dynamics, and what repeats a row: `test_switch` and `test_full_loop_device`.
@Suite("diffusers' published sums")
struct DiffusersSumsTests {
  typealias Row = DiffusersSum
  typealias Leg = DiffusersSum.Leg

  static func linear(from start: Double = 0.0001, count: Int = 1000) throws -> VariancePreserving {
    try VariancePreserving(.linear(start: start, end: 0.02), trainingTimesteps: count)
  }

  /// With a last point just below the last but one, where diffusers repeats it: the last step does next to nothing, but
  /// its evaluation corrects the step before.
  static func almostRepeated(_ points: some Collection<TimePoint>) -> [TimePoint] {
    var points = Array(points)
    points[points.count - 1] = points[points.count - 2]
    points[points.count - 1].sigma *= 1 - 1e-7
    return points
  }

  static func check(_ rows: [Row], count: Int) async throws {
    #expect(rows.count == count)
    for row in rows {
      let result = try await row.result()
      let sum = result.reduce(0) { $0 + abs($1) }
      let mean = sum / Double(result.count)
      if let expected = row.sum, let exact = row.exactSum {
        // The noise is the generator's, in single precision.
        #expect(abs(sum - exact) < 1e-5, "\(row.name): \(sum), exact \(exact)")
        #expect(abs(exact - expected) > row.tolerances.sum && abs(exact - expected) < 0.2, "\(row.name)")
      } else if let expected = row.sum {
        #expect(abs(sum - expected) < row.tolerances.sum, "\(row.name): \(sum), published \(expected)")
      }
      #expect(abs(mean - row.mean) < row.tolerances.mean, "\(row.name): \(mean), published \(row.mean)")
    }
  }

  // MARK: Discrete times

  @Test func ddim() async throws {
    let (path, offset) = (try Self.linear(), try Self.linear(from: 0.01))
    let points = try LeadingGrid(steps: 10).points(on: path)
    func clipped(_ row: inout Row) { row.bound = .clip(limit: 1) }
    var rows: [Row] = []
    for name in ["DDIM", "DDIMParallel"] {
      rows += [
        Row("\(name), no noise", 172.0067, 0.223967, Leg(DDIM(), points), configure: clipped),
        Row("\(name), v_prediction", 52.5302, 0.0684, Leg(DDIM(), points)) {
          ($0.bound, $0.prediction) = (.clip(limit: 1), .velocity)
        },
        Row(
          "\(name), set_alpha_to_one", 149.8295, 0.1951,
          Leg(DDIM(), try LeadingGrid(steps: 10).points(on: offset)), configure: clipped),
        Row(
          "\(name), no set_alpha_to_one", 149.0784, 0.1941,
          Leg(DDIM(), try LeadingGrid(steps: 10, end: .leastNoise).points(on: offset)), configure: clipped),
        Row("\(name), noise", 354.5418, 0.4616, Leg(DDIM(), points[8...])) {
          ($0.bound, $0.start) = (.clip(limit: 1), Row.noised(Row.sample, at: points[8]))
        },
      ]
    }
    try await Self.check(rows, count: 10)
  }

  @Test func ddimInverse() async throws {
    let (path, offset) = (try Self.linear(), try Self.linear(from: 0.01))
    func points(_ path: VariancePreserving, from start: TimePoint) -> [TimePoint] {
      [start] + stride(from: 0, to: 1000, by: 100).map { path.point(at: $0) }
    }
    // diffusers' first step goes from timestep 0 to itself; its x₀ is clipped.
    var almostFirst = offset.point(at: 0)
    almostFirst.sigma *= 1 - 1e-7
    let solver = DDIMInversion(tellsEnd: true)
    func clipped(_ row: inout Row) { row.bound = .clip(limit: 1) }
    try await Self.check(
      [
        Row("no noise", 671.6816, 0.8746, Leg(solver, points(path, from: path.clean)), configure: clipped),
        Row("v_prediction", 1394.2185, 1.8154, Leg(solver, points(path, from: path.clean))) {
          ($0.bound, $0.prediction) = (.clip(limit: 1), .velocity)
        },
        Row(
          "set_alpha_to_one", 539.9622, 0.7031, Leg(solver, points(offset, from: offset.clean)), configure: clipped),
        Row(
          "no set_alpha_to_one", 542.6722, 0.7066, Leg(solver, points(offset, from: almostFirst)), configure: clipped),
      ], count: 4)
  }

  /// Near the clean end 1 - ᾱ has three or four digits in single precision, and so have the steps there. What the
  /// classes give in double precision is here what they give with every float32 in their source read as float64.
  @Test func ddpm() async throws {
    let points = try LeadingGrid(steps: 1000).points(on: Self.linear())
    let cosine = try VariancePreserving(.squaredCosine)
    func clipped(_ row: inout Row) { row.bound = .clip(limit: 1) }
    var rows: [Row] = []
    for name in ["DDPM", "DDPMParallel"] {
      rows += [
        Row("\(name), no noise", 258.9606, 0.3372, Leg(DDPM(), points), configure: clipped),
        Row("\(name), v_prediction", 202.0296, 0.2631, Leg(DDPM(), points)) {
          ($0.bound, $0.prediction) = (.clip(limit: 1), .velocity)
        },
        Row("\(name), noise", 387.9466, 0.5051, Leg(DDPM(), points[998...])) {
          ($0.bound, $0.start) = (.clip(limit: 1), Row.noised(Row.sample, at: points[998]))
          $0.exactSum = 387.9672510
        },
      ]
    }
    // A DDPM whose variance is called `fixed_small_log`.
    rows += [
      Row(
        "UnCLIP, full loop", 252.2682495, 0.3284743, Leg(DDPM(), try LeadingGrid(steps: 1000).points(on: cosine))
      ) { ($0.bound, $0.exactSum) = (.clip(limit: 1), 252.4390017) },
      Row(
        "UnCLIP, skipped timesteps", 258.2044983, 0.3362038,
        Leg(DDPM(), try LinspaceGrid(steps: 25).points(on: cosine))
      ) { ($0.bound, $0.exactSum) = (.clip(limit: 1), 258.3410676) },
    ]
    try await Self.check(rows, count: 8)
  }

  /// `batch_step_no_noise`: three batches, a single step each, whose noise is left out.
  @Test func batchSteps() async throws {
    let path = try Self.linear()
    func total(_ solver: some Solver, _ targets: [TimePoint]) async throws -> Double {
      var total = 0.0
      for (index, shift) in [0, 0.1, -0.1].enumerated() {
        let points = [path.point(at: Double(index)), targets[index]]
        var row = Row("step", 0, 0, Leg(solver, points))
        (row.bound, row.start) = (.clip(limit: 1), Row.sample.map { $0 + shift })
        row.leavesNoiseOut = true
        total += try await row.result().reduce(0) { $0 + abs($1) }
      }
      return total
    }
    let ddim = try await total(DDIM(), [path.clean, path.clean, path.clean])
    #expect(abs(ddim - 1147.7904) < 1e-2 && abs(ddim / 2304 - 0.4982) < 1e-3, "\(ddim)")
    let ddpm = try await total(DDPM(), [path.clean, path.point(at: 0), path.point(at: 1)])
    #expect(abs(ddpm - 1153.1833) < 1e-2 && abs(ddpm / 2304 - 0.5005) < 1e-3, "\(ddpm)")
  }

  @Test func pndm() async throws {
    let (path, offset) = (try Self.linear(), try Self.linear(from: 0.01))
    func leg(_ path: VariancePreserving, _ end: GridEnd) throws -> Leg {
      Leg(PNDM(start: .rungeKutta), try HalvedGrid(LeadingGrid(steps: 10, end: end)).points(on: path))
    }
    // Not v_prediction, 67.3986: the class averages velocities of different times and takes the mean for one at the
    // last, where Fewstep averages ε.
    try await Self.check(
      [
        Row("no noise", 198.1318, 0.2580, leg(path, .leastNoise)),
        Row("set_alpha_to_one", 230.0399, 0.2995, leg(offset, .clean)),
        Row("no set_alpha_to_one", 186.9482, 0.2434, leg(offset, .leastNoise)),
      ], count: 3)
  }

  @Test func distilled() async throws {
    let path = VariancePreserving.stableDiffusion
    func points(_ steps: Int, _ end: GridEnd) throws -> [TimePoint] {
      try DistilledGrid(steps: steps, end: end).points(on: path)
    }
    func narrow(_ row: inout Row) { row.tolerances.sum = 1e-3 }
    let lcm = ConsistencySteps(.latentConsistency)
    try await Self.check(
      [
        Row("LCM, one step", 18.7097, 0.0244, Leg(lcm, points(1, .clean)), configure: narrow),
        Row("LCM, ten steps", 197.7616, 0.2575, Leg(lcm, points(10, .clean)), configure: narrow),
        Row("TCD, one step", 29.8715, 0.0389, Leg(try TCD(gamma: 0), points(1, .leastNoise)), configure: narrow),
        Row("TCD, ten steps", 181.2040, 0.2359, Leg(try TCD(gamma: 0), points(10, .leastNoise)), configure: narrow),
      ], count: 4)
  }

  @Test func consistencyModels() async throws {
    func points(_ indices: [Int]) -> [TimePoint] {
      let (highest, lowest) = (Double.pow(80, 1 / 7.0), Double.pow(0.002, 1 / 7.0))
      return indices.map { index in
        let sigma = Double.pow(highest + Double(index) / 200 * (lowest - highest), 7)
        return TimePoint(timestep: 250 * .log(sigma), alpha: 1, sigma: sigma)
      } + [TimePoint(timestep: 0, alpha: 1, sigma: 0)]
    }
    func row(_ name: String, _ sum: Double, _ mean: Double, _ points: [TimePoint], isNoised: Bool = false) -> Row {
      Row(name, sum, mean, Leg(ConsistencySteps(.consistencyModel), points)) {
        ($0.prediction, $0.bound, $0.model) = (.sample, .clip(limit: 1), .preconditioned(sign: 1))
        $0.start = $0.start.map { 80 * $0 }
        if isNoised { $0.start = zip($0.start, Row.noise(for: Row.sample)).map { $0 + points[0].sigma * $1 } }
      }
    }
    try await Self.check(
      [
        row("one step", 192.7614, 0.2510, points([0])),
        row("two steps", 347.6357, 0.4527, points([0, 106])),
        row("noise", 763.9186, 0.9947, points([160, 180]), isNoised: true),
      ], count: 3)
  }

  // MARK: Multistep and singlestep

  /// Down to the least noise of the model.
  private static func exponentialPoints(steps: Int = 10, count: Int = 1000) throws -> [TimePoint] {
    try LinspaceGrid(steps: steps, division: .stepsAndEnd, end: .leastNoise).points(on: linear(count: count))
  }

  private static func karrasPoints(count: Int = 1000) throws -> [TimePoint] {
    almostRepeated(
      try KarrasGrid(steps: 10, options: .init(times: .roundedForModelOnly, end: .clean)).points(
        on: linear(count: count)))
  }

  @Test func dpmSolverMultistep() async throws {
    let solver = try DPMSolverMultistep(.sample, order: 2)
    let (points, karras) = (try Self.exponentialPoints(), try Self.karrasPoints())
    let lu = Self.almostRepeated(
      try ExponentialGrid(steps: 10, options: .init(times: .roundedForModelOnly, end: .clean)).points(on: Self.linear())
    )
    func velocity(_ row: inout Row) { row.prediction = .velocity }
    try await Self.check(
      [
        Row("no noise", nil, 0.3301, Leg(solver, points)),
        Row("noise", 318.4111, 0.4146, Leg(solver, points[5...])) { $0.start = Row.noised(Row.sample, at: points[5]) },
        Row("thresholding", nil, 1.1364, Leg(solver, points)) {
          ($0.prediction, $0.model) = (.sample, .thresholded(.epsilon))
        },
        Row("v_prediction", nil, 0.2251, Leg(solver, points), configure: velocity),
        Row("Karras, v_prediction", nil, 0.2096, Leg(solver, karras), configure: velocity),
        Row("Lu, v_prediction", nil, 0.1554, Leg(solver, lu), configure: velocity),
      ], count: 6)
  }

  @Test func dpmSolverMultistepInverse() async throws {
    let solver = Inverted(try DPMSolverMultistep(.sample, order: 2))
    // diffusers' timesteps rise; where a half is rounded to the even one they are those of a falling grid.
    let path = try Self.linear()
    let points = (0...10).map { path.point(at: (99.9 * Double($0)).rounded(.toNearestOrEven)) }
      .rounded(betas: BetaSchedule.linear(start: 0.0001, end: 0.02).betas(count: 1000))
    var karras = Array(
      try KarrasGrid(steps: 10, options: .init(times: .roundedForModelOnly)).points(on: path).dropLast().reversed())
    karras.append(karras[9])
    karras[10].sigma *= 1 + 1e-7
    karras[10].alpha *= 1 - 1e-7
    try await Self.check(
      [
        Row("no noise", nil, 0.7047, Leg(solver, points)),
        Row("thresholding", nil, 19.8933, Leg(solver, points)) {
          ($0.prediction, $0.model) = (.sample, .thresholded(.epsilon))
        },
        Row("v_prediction", nil, 1.5194, Leg(solver, points)) { $0.prediction = .velocity },
        Row("Karras, v_prediction", nil, 1.7833, Leg(solver, karras)) {
          ($0.prediction, $0.tolerances.mean) = (.velocity, 2e-3)
        },
      ], count: 4)
  }

  /// Where a run starts at the second half of a step, diffusers makes a step of first order of it.
  @Test func dpmSolverSinglestep() async throws {
    let (solver, first) = (try DPMSolverSinglestep(.sample, order: 2), try DPMSolverSinglestep(.sample, order: 1))
    let (points, karras) = (try Self.exponentialPoints(), try Self.karrasPoints())
    let many = try Self.exponentialPoints(steps: 50)
    func velocity(_ row: inout Row) { row.prediction = .velocity }
    try await Self.check(
      [
        Row("no noise", nil, 0.2791, Leg(solver, points)),
        Row("uneven", nil, 0.2574, Leg(first, many[3...4]), Leg(solver, many[4...])),
        Row("Karras", nil, 0.2248, Leg(solver, karras)),
        Row("v_prediction", nil, 0.1453, Leg(solver, points), configure: velocity),
        Row("Karras, v_prediction", nil, 0.0649, Leg(solver, karras), configure: velocity),
        Row("noise", 269.2187, 0.3505, Leg(first, points[5...6]), Leg(solver, points[6...])) {
          $0.start = Row.noised(Row.sample, at: points[5])
        },
      ], count: 6)
  }

  @Test func unipc() async throws {
    let solver = try UniPC(order: 2)
    let (points, karras) = (try Self.exponentialPoints(), try Self.karrasPoints())
    var rows: [Row] = []
    for (elements, means) in [(192, [0.2464, 0.2925, 0.1014, 0.1966]), (24, [0.2441, 0.2898, 0.1014, 0.1944])] {
      let sample = Row.sample(elements: elements)
      for (index, mean) in means.enumerated() {
        rows.append(
          Row("\(elements), \(index)", nil, mean, Leg(solver, index % 2 == 0 ? points : karras)) {
            ($0.start, $0.prediction) = (sample, index < 2 ? .epsilon : .velocity)
          })
      }
      let (sum, mean) = elements == 192 ? (315.5757, 0.4109) : (39.0870, 0.4072)
      rows.append(
        Row("\(elements), noise", sum, mean, Leg(solver, points[8...])) {
          $0.start = Row.noised(sample, at: points[8])
        })
    }
    try await Self.check(rows, count: 10)
  }

  @Test func deis() async throws {
    let solver = try DEIS(order: 2, lowersFinalOrder: true)
    let points = try Self.exponentialPoints()
    // Not iPNDM: its test samples twice, the second time with the slopes of the first, and divides by the alpha of 0.
    try await Self.check(
      [
        Row("no noise", nil, 0.23916, Leg(solver, points)),
        Row("v_prediction", nil, 0.091, Leg(solver, points)) { $0.prediction = .velocity },
        Row("noise", 315.3016, 0.41054, Leg(solver, points[8...])) { $0.start = Row.noised(Row.sample, at: points[8]) },
      ], count: 3)
  }

  /// Karras' levels in single precision: see ``ddpm()``.
  @Test func saSolver() async throws {
    let solver = try SASolver()
    let (points, karras) = (try Self.exponentialPoints(count: 1100), try Self.karrasPoints(count: 1100))
    // diffusers draws for every step, Fewstep where there is noise to add.
    func draws(_ points: [TimePoint]) -> [Int] {
      points.dropLast().indices.filter { (200...800).contains(points[$0].timestep) }
    }
    try await Self.check(
      [
        Row("no noise", 337.394287109375, 0.43931546807289124, Leg(solver, points)) { $0.draws = draws(points) },
        Row("v_prediction", 193.1467742919922, 0.2514931857585907, Leg(solver, points)) {
          ($0.prediction, $0.draws) = (.velocity, draws(points))
        },
        Row("Karras", 837.2554931640625, 1.0901764631271362, Leg(solver, karras)) {
          ($0.draws, $0.exactSum) = (draws(karras), 837.2768534)
        },
      ], count: 3)
  }
}
