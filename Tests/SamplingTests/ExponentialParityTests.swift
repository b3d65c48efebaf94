import RealModule
import Sampling
import Testing

/// The exponential multistep solvers against diffusers 0.42.1: as ``DiffusersParityTests``.
@Suite("Parity with diffusers' exponential multistep schedulers")
struct ExponentialParityTests {
  /// The largest difference of a run, relative to its largest value.
  static func difference(_ latents: [[Double]], _ expected: [[Double]]) -> Double {
    let scale = max(1, expected.joined().map(abs).max() ?? 1)
    return zip(latents, expected).reduce(0) { largest, rows in
      zip(rows.0, rows.1).reduce(largest) { max($0, abs($1.0 - $1.1) / scale) }
    }
  }

  @Test func unipc() async throws {
    let examples = try SchedulerCase.all("unipc")
    var (largest, broken) = (0.0, 0)
    for example in examples {
      let config = example.config
      let solver = try UniPC(
        config.predictX0 ?? true ? .sample : .epsilon, order: config.solverOrder ?? 2,
        form: .published(config.solverType == "bh1" ? .bh1 : .bh2), uncorrected: Set(config.disableCorrector ?? []),
        lowersFinalOrder: config.lowerOrderFinal ?? true)
      let latents = try await DiffusersParityTests.latents(
        solver, example, at: example.points, from: example.initial)
      #expect(latents.count == example.evaluations)
      if example.double.latents.count < example.evaluations {
        // At sigma 0 diffusers has infinity times 0. The limit is the prediction of x₀.
        broken += 1
        let before = SchedulerCase.model(
          RecordedTensor(DoubleTensor(latents[latents.count - 2])), at: example.points[example.steps - 1])
        let last = example.points[example.steps - 1]
        let expected = zip(latents[latents.count - 2], before.base.values).map { ($0 - last.sigma * $1) / last.alpha }
        #expect(Self.difference([latents[latents.count - 1]], [expected]) < 1e-14, "\(example.name)")
      }
      DiffusersParityTests.expectEqual(
        Array(latents.prefix(example.double.latents.count)), example.double.latents, of: example)
      largest = max(largest, Self.difference(latents, example.double.latents))
    }
    print("UniPC: largest difference \(largest)")
    #expect((examples.count, broken) == (45, 2))
  }

  /// diffusers' closed forms lose digits in double precision as well, the more the shorter the steps.
  @Test func deis() async throws {
    let examples = try SchedulerCase.all("deis")
    var largest = 0.0
    for example in examples {
      let solver = try DEIS(
        order: example.config.solverOrder ?? 2,
        lowersFinalOrder: example.steps < 15 && example.config.lowerOrderFinal ?? true)
      let latents = try await DiffusersParityTests.latents(
        solver, example, at: example.points, from: example.initial)
      #expect(latents.count == example.double.latents.count)
      let difference = Self.difference(latents, example.double.latents)
      #expect(difference < 1e-13, "\(example.name)")
      largest = max(largest, difference)
    }
    print("DEIS: largest difference \(largest)")
    #expect(examples.count == 25)
  }

  @Test func multistepDPMSolver() async throws {
    let examples = try SchedulerCase.all("dpm_multistep_more")
    var largest = 0.0
    for example in examples {
      let latents = try await DiffusersParityTests.latents(
        example.multistepDPMSolver(), example, at: example.points, from: example.initial)
      DiffusersParityTests.expectEqual(latents, example.double.latents, of: example)
      largest = max(largest, Self.difference(latents, example.double.latents))
    }
    print("DPM-Solver: largest difference \(largest)")
    #expect(examples.count == 43)
  }

  /// diffusers multiplies what the model says first by alpha, which is 0, and takes the clean image for 0. A model that
  /// says 0 there, a velocity of no image, gives the same run; what the model says gives another first step, by just
  /// the image's part.
  @Test func ipndm() async throws {
    let examples = try SchedulerCase.all("ipndm")
    var largest = 0.0
    for example in examples {
      let points = (0...example.steps).map { index in
        let sine = Double.sin((1 - Double(index) / Double(example.steps)) * .pi / 2)
        let sigma = sine * sine
        let time = index < example.steps ? example.double.modelTimes[index] : 0
        return TimePoint(timestep: time, alpha: (1 - sigma * sigma).squareRoot(), sigma: sigma)
      }
      #expect(points[0].alpha == 0 && points[example.steps].isClean)
      let plan = try SamplingPlan(IPNDM(), at: points, prediction: .velocity)
      for isSilent in [true, false] {
        var states: [[Double]] = []
        let result: [DoubleTensor] = try await plan.run(
          fields: [NoiseField(seed: 0)], shape: [example.initial.count],
          start: .states([DoubleTensor(example.initial)])
        ) { requests in
          requests.map { request in
            states.append(request.state.values)
            guard request.time.alpha > 0 || !isSilent else { return DoubleTensor(zeros: request.state.shape) }
            return SchedulerCase.model(RecordedTensor(request.state), at: request.time).base
          }
        }
        let latents = states.dropFirst() + [result[0].values]
        if isSilent {
          DiffusersParityTests.expectEqual(Array(latents), example.double.latents, of: example)
          largest = max(largest, Self.difference(Array(latents), example.double.latents))
        } else {
          let start = RecordedTensor(DoubleTensor(example.initial))
          let first = zip(example.double.latents[0], SchedulerCase.model(start, at: points[0]).base.values).map {
            $0 - points[1].alpha * $1
          }
          #expect(Self.difference([Array(latents)[0]], [first]) < 1e-15, "\(example.name)")
        }
      }
    }
    print("iPNDM: largest difference \(largest)")
    #expect(examples.count == 7)
  }

  static let preconditioned: [(file: String, count: Int, solver: @Sendable (SchedulerCase) throws -> any Solver)] = [
    ("edm_dpm_multistep", 17, { try $0.multistepDPMSolver() }), ("edm_euler", 6, { _ in Euler() }),
  ]

  /// EDM's network sees the state scaled and gives part of x₀; the rest is the state's.
  @Test(arguments: preconditioned.indices) func edm(_ index: Int) async throws {
    let (file, count, solver) = Self.preconditioned[index]
    let examples = try SchedulerCase.all(file)
    var largest = 0.0
    for example in examples {
      let points = zip(example.double.sigmas ?? [], example.double.modelTimes + [0]).map {
        TimePoint(timestep: $1, alpha: 1, sigma: $0)
      }
      let plan = try SamplingPlan(solver(example), at: points, prediction: .sample)
      let data = example.config.sigmaData ?? 0.5
      var states: [[Double]] = []
      let start = DoubleTensor(example.initial.map { $0 * example.double.initNoiseSigma })
      let result: [DoubleTensor] = try await plan.run(
        fields: [NoiseField(seed: 0)], shape: start.shape, start: .states([start])
      ) { requests in
        requests.map { request in
          states.append(request.state.values)
          let sigma = request.time.sigma
          let deviation = (sigma * sigma + data * data).squareRoot()
          let output = SchedulerCase.model(
            RecordedTensor(.combining((1 / deviation, request.state))), at: request.time)
          let scale = (example.prediction == .velocity ? -1 : 1) * sigma * data / deviation
          return .combining((data * data / (deviation * deviation), request.state), (scale, output.base))
        }
      }
      let latents = states.dropFirst() + [result[0].values]
      DiffusersParityTests.expectEqual(Array(latents), example.double.latents, of: example)
      largest = max(largest, Self.difference(Array(latents), example.double.latents))
    }
    print("\(file): largest difference \(largest)")
    #expect(examples.count == count)
  }
}

extension SchedulerCase {
  /// The solver that the configuration of a `DPMSolverMultistepScheduler`, or its EDM kin, asks for.
  func multistepDPMSolver() throws -> DPMSolverMultistep {
    try DPMSolverMultistep(
      config.algorithmType == "dpmsolver++" ? .sample : .epsilon, order: config.solverOrder ?? 2,
      variant: config.solverType == "heun" ? .heun : .midpoint,
      lowersFinalOrder: steps < 15 && config.lowerOrderFinal ?? true, eulerAtFinal: config.eulerAtFinal ?? false)
  }
}
