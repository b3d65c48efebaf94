import Foundation
import RealModule
import Sampling
import Testing

/// Every spacing option of diffusers 0.42.1 against the grids by name, without a run:
/// Tests/Fixtures/schedulers/grids.json.
///
/// What differs by intention, and is asserted to:
/// - Where diffusers rounds or truncates the time that the model is told and leaves the step where it is, the grid does
///   so on request only.
/// - Log-linear levels leave diffusers' times where they were: the model is told those of the spacing, far from the
///   levels. The grid's are those of its levels.
/// - With a single step of evenly spaced times diffusers begins, and ends, at the first one.
@Suite("Grids by name agree with diffusers")
struct NamedGridParityTests {
  struct Case: Decodable {
    let name: String
    let grid: String
    let scheduler: String
    let steps: Int
    let mu: Double?
    let timesteps: [Double]
    let sigmas: [Double]?
  }

  static func all<Value: Decodable>(_ file: String) throws -> [Value] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      [Value].self, from: Data(contentsOf: tests.appending(path: "Fixtures/schedulers/\(file).json")))
  }

  struct Grid {
    var path: any NoisePath = VariancePreserving.stableDiffusion
    let spacing: GridSpacing
    var solver = "dpm++2m"
    var options = GridOptions()
    /// How the model is told the time, where not by the path's timestep.
    var conditioning: TimeConditioning?
    /// Whether diffusers tells the times of another grid than the one it steps on.
    var tellsOthers = false
    /// Whether diffusers counts the levels from the noise.
    var isInverted = false
    /// How far a level may be off, relative to it.
    static let tolerance = 1e-12
  }

  static func grids() throws -> [String: Grid] {
    let offset = GridOptions(offset: 1)
    let rounded = GridOptions(times: .roundedForModelOnly)
    let truncated = GridOptions(times: .truncatedForModelOnly)
    let dynamic = try RectifiedFlow(shift: .exp(0.8))
    let nearlyZero = try VariancePreserving(
      .scaledLinear(start: 0.00085, end: 0.012), terminalSignal: .nearlyZero)

    return [
      "ddim-leading": Grid(spacing: .leading, solver: "ddim", options: offset),
      "ddim-linspace": Grid(spacing: .linspace, solver: "ddim"),
      "ddim-trailing": Grid(spacing: .trailing, solver: "ddim"),
      "multistep-leading": Grid(spacing: .leading, options: offset),
      "multistep-linspace": Grid(spacing: .linspace), "multistep-trailing": Grid(spacing: .trailing),
      "multistep-karras": Grid(spacing: .karras, options: rounded),
      "multistep-lu": Grid(spacing: .exponential, options: rounded),
      "multistep-exponential": Grid(spacing: .exponential, options: truncated),
      "multistep-beta": Grid(spacing: .beta, options: truncated),
      "multistep-sigma-min": Grid(
        spacing: .exponential, options: .init(finalNoise: .leastNoise, times: .truncatedForModelOnly)),
      "multistep-nearly-zero": Grid(path: nearlyZero, spacing: .trailing),
      "multistep-flow": Grid(path: try RectifiedFlow(shift: 3), spacing: .flow),
      "euler-karras": Grid(spacing: .karras, solver: "euler"),
      "euler-exponential": Grid(spacing: .exponential, solver: "euler"),
      "euler-beta": Grid(spacing: .beta, solver: "euler"),
      "euler-own-levels": Grid(spacing: .karras, solver: "euler", options: .init(levels: 0.1...10)),
      "euler-log-linear": Grid(spacing: .uniformLambda, solver: "euler", tellsOthers: true),
      "euler-continuous": Grid(spacing: .leading, solver: "euler", options: offset, conditioning: .quarterLog),
      "euler-continuous-karras": Grid(
        path: try VarianceExploding(lowest: 0.002, highest: 700), spacing: .karras, solver: "euler"),
      "flow-inverted": Grid(
        path: try RectifiedFlow(shift: 3, repeatsShift: true), spacing: .linspace, solver: "flow-euler",
        conditioning: .fromNoise(trainingTimesteps: 1000), isInverted: true),
      "flow-twice": Grid(
        path: try RectifiedFlow(shift: 3, repeatsShift: true), spacing: .linspace, solver: "flow-euler"),
      "flow-dynamic": Grid(path: dynamic, spacing: .linspace, solver: "flow-euler"),
      "flow-dynamic-linear": Grid(path: try RectifiedFlow(shift: 0.8), spacing: .linspace, solver: "flow-euler"),
      "flow-terminal": Grid(
        path: dynamic, spacing: .linspace, solver: "flow-euler", options: .init(terminal: 0.1)),
      "flow-karras": Grid(path: dynamic, spacing: .karras, solver: "flow-euler"),
      "flow-exponential": Grid(path: dynamic, spacing: .exponential, solver: "flow-euler"),
      "flow-beta": Grid(path: dynamic, spacing: .beta, solver: "flow-euler"),
      "edm-euler-karras": Grid(path: VarianceExploding.edm, spacing: .karras, solver: "euler"),
      "edm-euler-exponential": Grid(
        path: VarianceExploding.edm, spacing: .exponential, solver: "euler",
        options: .init(finalNoise: .leastNoise)),
      "edm-multistep-karras": Grid(path: VarianceExploding.edm, spacing: .karras),
      "edm-multistep-exponential": Grid(
        path: VarianceExploding.edm, spacing: .exponential, options: .init(finalNoise: .leastNoise)),
    ]
  }

  @Test func timesAndLevels() throws {
    let grids = try Self.grids()
    let cases: [Case] = try Self.all("grids")
    #expect(Set(cases.map(\.grid)) == Set(grids.keys))
    var largest: [String: Double] = [:]
    var backward = 0
    var others: [Double] = []
    for example in cases {
      let grid = try #require(grids[example.grid])
      let solver = try SolverCatalogue.entry(named: grid.solver)
      // With one step of even times diffusers' numpy.linspace(0, 999, 1) is the first one, with hardly any noise.
      let isBackward = ["ddim-linspace-1", "euler-karras-1", "euler-exponential-1", "euler-beta-1"]
        .contains(example.name)
      let points = try grid.spacing.points(
        steps: example.steps, for: solver.conventions, on: grid.path, options: grid.options)
      guard !isBackward else {
        #expect(points.count == 2 && points[0] == grid.path.point(at: 999) && abs(example.timesteps[0]) < 1e-12)
        backward += 1
        continue
      }
      #expect(points.count == example.steps + 1 && example.timesteps.count == example.steps)
      for (point, timestep) in zip(points, example.timesteps) {
        // diffusers truncates the time of its flow sigmas; whole times are told exactly.
        let time = grid.conditioning?.time(at: point) ?? point.timestep
        let told = example.grid == "multistep-flow" ? time.rounded(.towardZero) : time
        if grid.tellsOthers {
          others.append(grid.path.point(at: timestep).noiseToSignal / point.noiseToSignal)
          continue
        }
        let isWhole = grid.options.times != .exact || grid.path.hasWholeTimesteps && timestep == timestep.rounded()
        #expect(
          abs(told - timestep) <= (isWhole ? 1e-12 : 1e-10 * max(1, abs(timestep))),
          "\(example.name)")
      }
      guard let sigmas = example.sigmas else { continue }
      for (point, recorded) in zip(points, sigmas) {
        let sigma = grid.isInverted ? 1 - recorded : recorded
        let error = abs(grid.path.level(of: point) - sigma)
        largest[example.grid] = max(largest[example.grid] ?? 0, sigma == 0 ? error : error / sigma)
        #expect(error <= Grid.tolerance * sigma, "\(example.name)")
      }
    }
    #expect(backward == 4)
    #expect(try #require(others.max()) > 2)
    print("log-linear levels: told the noise of other times, by factors \(others.min() ?? 0) to \(others.max() ?? 0)")
    for (grid, error) in largest.sorted(by: { $0.key < $1.key }) { print("\(grid): levels within \(error)") }
  }

  /// Told the exact time, the model sees the noise that the update assumes; told diffusers', up to 4 % more or less.
  @Test func roundedTimesAreOffTheNoise() throws {
    let path = VariancePreserving.stableDiffusion
    func worst(_ times: ToldTimes) throws -> Double {
      try KarrasGrid(steps: 30, options: .init(times: times)).points(on: path).dropLast().map {
        abs(path.point(at: $0.timestep).noiseToSignal / $0.noiseToSignal - 1)
      }.max() ?? 0
    }
    #expect(try worst(.exact) < 1e-12 && worst(.rounded) < 1e-12)
    let rounded = try worst(.roundedForModelOnly)
    print("Karras, 30 steps, rounded times: the model is \(100 * rounded) % off")
    #expect(rounded > 0.03 && rounded < 0.045)
  }

  /// The least trained sigma is shifted once, not twice as diffusers does.
  @Test func flowIsShiftedOnce() throws {
    let once = try LinspaceGrid(steps: 10).points(on: RectifiedFlow(shift: 3))
    let twice = try LinspaceGrid(steps: 10).points(on: RectifiedFlow(shift: 3, repeatsShift: true))
    #expect(abs(once[9].sigma - 0.003 / 1.002) < 1e-15 && abs(twice[9].sigma - 0.00892857142857143) < 1e-15)
    #expect(once[0].sigma == 1 && twice[0].sigma == 1)
  }
}

@Suite("Quantiles of the beta distribution")
struct BetaQuantileTests {
  struct Case: Decodable {
    let a: Double
    let b: Double
    let p: Double
    let x: Double
  }

  @Test func agreeWithScipy() throws {
    let cases: [Case] = try NamedGridParityTests.all("beta_quantiles")
    #expect(cases.count == 77)
    var largest = 0.0
    for example in cases {
      // The grid's point at the fraction 1 - p: 1 - (1 - p) is p to the digits of 1.
      let x = betaQuantile(example.p, a: example.a, b: example.b)
      let error = abs(x - example.x) / max(example.x, .leastNormalMagnitude)
      largest = max(largest, error)
      #expect(error <= 1e-12, "\(example)")
    }
    print("beta quantiles agree with scipy within \(largest)")
  }

  @Test func endsAndSymmetry() {
    for (a, b) in [(0.6, 0.6), (2, 5), (300, 0.5)] {
      #expect(betaQuantile(0, a: a, b: b) == 0 && betaQuantile(1, a: a, b: b) == 1)
      for p in [0.125, 0.25, 0.5, 0.75] {
        #expect(abs(betaQuantile(p, a: a, b: b) + betaQuantile(1 - p, a: b, b: a) - 1) < 1e-13)
      }
    }
    for p in [0.1, 0.5, 0.9] { #expect(abs(betaQuantile(p, a: 1, b: 1) - p) < 1e-15) }
  }
}
