import RealModule
import Sampling
import Testing

/// Grids against the timesteps and sigmas of diffusers 0.42.1, where the conventions are the same.
///
/// Left out, because they differ by intention: Euler's and Heun's Karras grids, which diffusers spans between the ends
/// of another spacing and Fewstep over the whole path.
@Suite("Grids agree with diffusers")
struct GridParityTests {
  static let solvers = [
    "ddim": "ddim", "ddpm": "ddpm", "dpm_multistep": "dpm++2m", "dpm_singlestep": "dpm++2s", "euler": "euler",
    "heun": "heun",
  ]

  @Test(arguments: [
    ("ddim", 18), ("ddpm", 10), ("dpm_multistep", 36), ("dpm_singlestep", 28), ("euler", 11), ("heun", 6),
  ])
  func timestepsAndSigmas(_ file: String, _ count: Int) throws {
    let solver = try SolverCatalogue.entry(named: #require(Self.solvers[file]))
    var compared = 0
    for example in try SchedulerCase.all(file) {
      let config = example.config
      let isKarras = config.useKarrasSigmas ?? false
      // A lowest lambda, which this case sets, is no option here.
      guard !(isKarras && ["euler", "heun"].contains(file)), !example.name.hasSuffix("-clipped-10") else { continue }
      compared += 1
      let path = try example.path()
      let offset = config.timestepSpacing == "leading" ? config.stepsOffset ?? 0 : 0
      let end: GridEnd = config.setAlphaToOne ?? true ? .clean : .leastNoise
      let finalNoise: GridEnd? = config.finalSigmasType == "sigma_min" ? .leastNoise : nil
      let points: [TimePoint]
      if isKarras {
        points = try KarrasGrid(steps: example.steps, tellsRoundedTimes: true, end: finalNoise ?? .clean)
          .points(on: path)
      } else {
        let spacing = try GridSpacing(named: config.timestepSpacing ?? "linspace")
        points = try spacing.points(
          steps: example.steps, for: solver, on: path, offset: offset, end: end, finalNoise: finalNoise)
      }
      let expectedTimes =
        example.double.sigmas == nil ? example.double.timesteps : example.points.dropLast().map(\.timestep)
      #expect(points.count == example.steps + 1)
      for (point, time) in zip(points, expectedTimes) {
        #expect(abs(point.timestep - time) <= 1e-9, "\(example.name)")
      }
      guard example.double.sigmas != nil else { continue }
      for (point, expected) in zip(points, example.points) {
        // Between integer timesteps diffusers interpolates sigma and Fewstep lambda.
        let tolerance = point.timestep == point.timestep.rounded() || isKarras ? 1e-11 : 2e-4
        #expect(
          abs(point.noiseToSignal - expected.noiseToSignal) <= tolerance * max(expected.noiseToSignal, 1e-9),
          "\(example.name) at \(point.timestep)")
      }
    }
    #expect(compared == count)
  }

  @Test func flow() throws {
    for example in try SchedulerCase.all("flow") {
      let path = try RectifiedFlow(shift: example.config.shift ?? 1)
      let points =
        example.setTimesteps.sigmas == nil
        ? try LinspaceGrid(steps: 8).points(on: path) : try TrailingGrid(steps: 8).points(on: path)
      #expect(points.count == example.points.count)
      for (point, expected) in zip(points, example.points) {
        #expect(abs(point.sigma - expected.sigma) <= 1e-14)
        #expect(abs(point.timestep - expected.timestep) <= 1e-11)
      }
    }
  }
}
