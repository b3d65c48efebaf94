import RealModule
import Sampling
import Testing

/// Grids against the timesteps and sigmas of diffusers 0.42.1.
///
/// What differs by intention, and is asserted to:
/// - Between integer timesteps diffusers interpolates sigma / alpha, and Fewstep its logarithm.
/// - Karras grids span the whole path; those of diffusers' Euler and Heun the ends of the chosen spacing.
/// - `lambda_min_clipped` is no option here.
@Suite("Grids agree with diffusers")
struct GridParityTests {
  /// The example's grid as ``GridSpacing`` and ``KarrasGrid`` make it.
  static func points(_ example: SchedulerCase, for solver: SolverEntry) throws -> [TimePoint] {
    let config = example.config
    let path = try example.path()
    let finalNoise: GridEnd? = config.finalSigmasType == "sigma_min" ? .leastNoise : nil
    if config.useKarrasSigmas ?? false {
      let isDPM = solver.conventions.division == .stepsAndEnd
      let end = finalNoise ?? solver.conventions.end ?? .clean
      return try KarrasGrid(
        steps: example.steps, options: .init(times: isDPM ? .roundedForModelOnly : .exact, end: end)
      ).points(on: path)
    }
    return try GridSpacing(named: config.timestepSpacing ?? "linspace").points(
      steps: example.steps, for: solver.conventions, on: path,
      options: .init(
        offset: config.stepsOffset ?? 0, end: config.setAlphaToOne ?? true ? .clean : .leastNoise,
        finalNoise: finalNoise))
  }

  @Test(arguments: [
    ("ddim", "ddim", 24, 0), ("ddpm", "ddpm", 15, 0), ("dpm_multistep", "dpm++2m", 36, 1),
    ("dpm_singlestep", "dpm++2s", 32, 0), ("dpm_multistep_more", "dpm++2m", 38, 0), ("unipc", "unipc2", 40, 0),
    ("deis", "deis2", 23, 0), ("euler", "euler", 15, 1), ("heun", "heun", 9, 0),
  ])
  func timestepsAndSigmas(_ file: String, _ name: String, same: Int, different: Int) throws {
    let solver = try SolverCatalogue.entry(named: name)
    var counts = (same: 0, different: 0)
    for example in try SchedulerCase.all(file) where example.prediction != .flow {
      // Log-linear levels and continuous times are NamedGridParityTests' subject.
      guard ["linear", nil].contains(example.config.interpolationType), example.config.timestepType != "continuous"
      else { continue }
      let points = try Self.points(example, for: solver)
      let timesteps = example.double.sigmas == nil ? example.double.timesteps : example.points.map(\.timestep)
      #expect(points.count == example.steps + 1, "\(example.name)")
      guard !["euler-karras-leading-10", "multistep-++2-cosine-clipped-10"].contains(example.name) else {
        #expect(points[0].timestep == 999 && timesteps[0] < 999, "\(example.name)")
        counts.different += 1
        continue
      }
      counts.same += 1
      for (point, timestep) in zip(points.dropLast(), timesteps) {
        // A fractional time is found from the path's lambda, whose interpolation costs the digits of its slope.
        let isExact = timestep == timestep.rounded()
        #expect(abs(point.timestep - timestep) <= (isExact ? 0 : 1e-10), "\(example.name)")
      }
      guard example.double.sigmas != nil else { continue }
      for (point, expected) in zip(points, example.points) {
        let isInterpolated =
          point.timestep != point.timestep.rounded() && !(example.config.useKarrasSigmas ?? false)
        let difference = abs(point.noiseToSignal - expected.noiseToSignal)
        #expect(
          difference <= (isInterpolated ? 2e-4 : 1e-12) * expected.noiseToSignal,
          "\(example.name) at \(point.timestep)")
        #expect(!isInterpolated || difference > 1e-12 * expected.noiseToSignal, "\(example.name)")
      }
    }
    #expect(counts == (same, different))
  }

  /// `sigma_min` repeats the last level of a Karras grid, and a DDIM grid without offset ends with a step from 0 to 0.
  @Test func gridsMayEndWithAStepThatStays() throws {
    let path = VariancePreserving.stableDiffusion
    let karras = try KarrasGrid(steps: 5, end: .leastNoise).points(on: path)
    #expect(karras.count == 6 && abs(karras[4].lambda - karras[5].lambda) < 1e-12)
    let leading = try LeadingGrid(steps: 5, end: .leastNoise).points(on: path)
    #expect(leading.map(\.timestep) == [800, 600, 400, 200, 0, 0] && leading[4] == leading[5])
  }

  @Test func flow() throws {
    let examples = try SchedulerCase.all("flow")
    #expect(examples.count == 11)
    for example in examples {
      guard example.prediction == .flow else { continue }
      let path = try RectifiedFlow(shift: example.config.shift ?? 1, repeatsShift: true)
      let isDefault = example.setTimesteps.sigmas == nil
      let points =
        try isDefault
        ? LinspaceGrid(steps: example.steps).points(on: path) : TrailingGrid(steps: example.steps).points(on: path)
      #expect(points.count == example.points.count)
      for (point, expected) in zip(points, example.points) {
        // A few roundings of numbers up to 1.
        #expect(abs(point.sigma - expected.sigma) <= 4 * Double.ulpOfOne, "\(example.name)")
        #expect(abs(point.timestep - expected.timestep) <= 4000 * Double.ulpOfOne, "\(example.name)")
      }
    }
  }
}
