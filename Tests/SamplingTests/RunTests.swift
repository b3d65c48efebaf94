import Sampling
import Synchronization
import Testing

@Suite("Running plans")
struct RunTests {
  static let shape: Shape = [2, 2, 3]
  static let data = GaussianData(
    mean: (0..<12).map { 0.1 * Double($0) - 0.5 }, variances: (0..<12).map { 0.1 + 0.2 * Double($0) })

  static func denoise(_ prediction: Prediction) -> ([DenoiserRequest<DoubleTensor>]) -> [DoubleTensor] {
    { $0.map { data.prediction(prediction, of: $0.state, at: $0.time) } }
  }

  static func plan(_ solver: some Solver, steps: Int = 8, _ prediction: Prediction = .epsilon) throws -> SamplingPlan {
    try SamplingPlan(solver, on: .stableDiffusion, grid: TrailingGrid(steps: steps), prediction: prediction)
  }

  @Test func anImageIsTheSameAloneAndAmongOthers() async throws {
    for solver in [DDPM(), try DDIM(eta: 0.7), DDIM(), Heun(), try DPMSolverMultistep(.sample, order: 3)]
      as [any Solver]
    {
      let plan = try Self.plan(solver)
      let fields = (0..<5).map { NoiseField(seed: 4, image: $0) }
      let together = try await plan.run(fields: fields, shape: Self.shape, denoise: Self.denoise(.epsilon))
      for (field, image) in zip(fields, together) {
        let alone = try await plan.run(fields: [field], shape: Self.shape, denoise: Self.denoise(.epsilon))
        #expect(alone == [image])
      }
      #expect(Set(together).count == 5)
    }
  }

  @Test func theModelSeesAllImagesAndBranchesAtOnce() async throws {
    let plan = try Self.plan(DDIM(), steps: 3)
    var seen: [[DenoiserRequest<DoubleTensor>]] = []
    var progress: [SamplingProgress<DoubleTensor>] = []
    _ = try await plan.run(
      fields: [NoiseField(seed: 1), NoiseField(seed: 2)], shape: Self.shape,
      guidance: ClassifierFreeGuidance(scale: 3), observe: { progress.append($0) }
    ) { requests in
      seen.append(requests)
      return Self.denoise(.epsilon)(requests)
    }
    #expect(seen.map(\.count) == [4, 4, 4])
    #expect(seen[0].map(\.image) == [0, 0, 1, 1])
    #expect(seen[0].map(\.branch) == [.unconditional, .conditional, .unconditional, .conditional])
    #expect(seen.map(\.[0].time) == Array(plan.grid.dropLast()))
    #expect(progress.map(\.step) == [1, 2, 3])
    #expect(progress.map(\.evaluations) == [4, 8, 12])
    #expect(progress.map(\.time) == Array(plan.grid.dropFirst()))
  }

  @Test func guidanceIsTheSameInEveryPrediction() async throws {
    let other = GaussianData(mean: Array(repeating: 1, count: 12), variances: Array(repeating: 0.3, count: 12))
    var images: [DoubleTensor] = []
    for prediction in [Prediction.epsilon, .sample, .velocity] {
      images += try await Self.plan(DDIM(), prediction).run(
        fields: [NoiseField(seed: 1)], shape: Self.shape, guidance: ClassifierFreeGuidance(scale: 5)
      ) { requests in
        requests.map {
          ($0.branch == .conditional ? Self.data : other).prediction(prediction, of: $0.state, at: $0.time)
        }
      }
    }
    #expect(images[1].relativeError(to: images[0]) < 1e-11)
    #expect(images[2].relativeError(to: images[0]) < 1e-11)
  }

  @Test func guidanceEvaluatesOnlyWhatItNeeds() throws {
    let moment = GuidanceMoment(point: VariancePreserving.stableDiffusion.point(at: 500), evaluation: 0)
    for (scale, branches) in [
      (1.0, [GuidanceBranch.conditional]), (0, [.unconditional]), (7.5, [.unconditional, .conditional]),
    ] {
      #expect(try ClassifierFreeGuidance(scale: scale).branches(at: moment) == branches)
    }
    var memory = GuidanceMemory<DoubleTensor>()
    let guided = try ClassifierFreeGuidance(scale: 3).combine(
      BranchOutputs(
        [DoubleTensor([1, 2]), DoubleTensor([2, 0])], of: [.unconditional, .conditional],
        state: DoubleTensor([0, 0])), at: moment, memory: &memory)
    #expect(guided == DoubleTensor([4, -4]))
    for scale in [-1, .nan, .infinity] {
      #expect(throws: SamplingError.self) { try ClassifierFreeGuidance(scale: scale) }
    }
  }

  @Test(arguments: [1, 3]) func wrongModelOutputIsAnError(_ images: UInt32) async throws {
    let plan = try Self.plan(DDIM())
    let fields = (0..<images).map { NoiseField(seed: 1, image: $0) }
    let right = DoubleTensor(zeros: Self.shape)
    let count = Int(images)
    for output in [
      [], [DoubleTensor([1])], Array(repeating: right, count: count + 1),
      Array(repeating: right, count: count - 1) + [DoubleTensor([Double](repeating: 0, count: 12))],
    ] {
      let error = await #expect(throws: SamplingError.self) {
        _ = try await plan.run(fields: fields, shape: Self.shape) { _ in output }
      }
      guard case .wrongModelOutput = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
    }
  }

  @Test func startingStatesAreChecked() async throws {
    let plan = try Self.plan(DDIM())
    let right = DoubleTensor(zeros: Self.shape)
    for initial in [[], [DoubleTensor([1])], [right, right], [DoubleTensor([Double](repeating: 0, count: 12))]] {
      let error = await #expect(throws: SamplingError.self) {
        _ = try await plan.run(
          fields: [NoiseField(seed: 1)], shape: Self.shape, start: .unitVariance(initial),
          denoise: Self.denoise(.epsilon))
      }
      guard case .invalidOption = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
    }
  }

  /// The starting noise is stream 0 of the field, whatever the stream given.
  @Test func noiseIsWhatARunStartsFrom() async throws {
    let plan = try Self.plan(DDIM())
    let field = NoiseField(seed: 3, image: 2)
    let noise = DoubleTensor(noise: field, shape: Self.shape)
    let given = try await plan.run(
      fields: [field], shape: Self.shape, start: .unitVariance([noise]), denoise: Self.denoise(.epsilon))
    let drawn = try await plan.run(
      fields: [field.with(stream: 9)], shape: Self.shape, denoise: Self.denoise(.epsilon))
    #expect(given == drawn)
  }

  @Test func aRunOfNoImagesAsksNothing() async throws {
    let images = try await Self.plan(DDIM()).run(fields: [], shape: Self.shape) {
      (requests: [DenoiserRequest<DoubleTensor>]) in
      Issue.record("the model was evaluated")
      return requests.map(\.state)
    }
    #expect(images.isEmpty)
  }

  /// What the model or the observer throws comes out, and nothing is evaluated after it.
  @Test func errorsComeOut() async throws {
    struct Failure: Error {}
    let plan = try Self.plan(DDIM(), steps: 6)
    var evaluations = 0
    await #expect(throws: Failure.self) {
      _ = try await plan.run(
        fields: [NoiseField(seed: 1)], shape: Self.shape, observe: { if $0.step == 2 { throw Failure() } }
      ) { (requests: [DenoiserRequest<DoubleTensor>]) in
        evaluations += 1
        return Self.denoise(.epsilon)(requests)
      }
    }
    #expect(evaluations == 2)
    await #expect(throws: Failure.self) {
      _ = try await plan.run(fields: [NoiseField(seed: 1)], shape: Self.shape) {
        (_: [DenoiserRequest<DoubleTensor>]) in throw Failure()
      }
    }
  }

  /// Data that is one image: its prediction is exact, and the step to sigma 0 makes it the state.
  @Test func theLastStepIsThePrediction() async throws {
    let image = DoubleTensor((0..<12).map { Double($0) - 4 }, shape: Self.shape)
    let data = GaussianData(mean: image.values, variances: Array(repeating: 0, count: 12))
    for entry in SolverCatalogue.all where entry.conventions.end != .leastNoise {
      let prediction: Prediction = entry.family == .flow ? .flow : .sample
      let path: any NoisePath = entry.family == .flow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
      let plan = try SamplingPlan(entry.make(5), on: path, grid: TrailingGrid(steps: 5), prediction: prediction)
      let result: DoubleTensor = try await plan.run(seed: 1, shape: Self.shape) { requests in
        requests.map { data.prediction(prediction, of: $0.state, at: $0.time) }
      }
      let inNoiseLevel = ["heun", "euler", "ipndm4", "ipndm4-v", "gradient-estimation"]
      if inNoiseLevel.contains(entry.name) || entry.family == .flow {
        // These subtract the noise from the state.
        #expect(result.relativeError(to: image) < 1e-14, "\(entry.name)")
      } else {
        #expect(result == image, "\(entry.name)")
      }
    }
  }

  @Test func aCancelledRunStopsBeforeTheNextEvaluation() async throws {
    let plan = try Self.plan(DDIM(), steps: 50)
    let evaluations = Mutex(0)
    let task = Task {
      try await plan.run(fields: [NoiseField(seed: 1)], shape: Self.shape) { requests -> [DoubleTensor] in
        if evaluations.withLock({ count in
          count += 1; return count == 3
        }) {
          withUnsafeCurrentTask { $0?.cancel() }
        }
        return Self.denoise(.epsilon)(requests)
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(evaluations.withLock { $0 } == 3)
  }

  @Test func oneRunDoesNotDisturbAnother() async throws {
    let plan = try Self.plan(DDPM())
    let expected = try await plan.run(seed: 9, shape: Self.shape, denoise: Self.denoise(.epsilon))
    try await withThrowingTaskGroup(of: DoubleTensor.self) { group in
      for _ in 0..<8 {
        group.addTask { try await plan.run(seed: 9, shape: Self.shape, denoise: Self.denoise(.epsilon)) }
      }
      for try await image in group { #expect(image == expected) }
    }
  }
}
