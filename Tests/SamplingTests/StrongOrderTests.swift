import RealModule
import Sampling
import Testing

/// A number as a linear form in the normals of a Brownian path's tree between two levels: what ``LinearForm`` is, fast
/// enough for thousands of steps. The tree's coarse levels come first, and what no step has reached is left out.
struct PathForm: Tensor {
  static let lambdas = -0.5...0.5
  private static let depth = 19

  /// Of 1, of the starting noise, and of the tree's normals.
  var coefficients: [Double]
  var shape: Shape { [] }

  init(zeros shape: Shape) { coefficients = [0, 0] }

  init(constant: Double, start: Double) { coefficients = [constant, start] }

  mutating func assign(_ combination: LinearCombination<PathForm>) {
    let noises = combination.noises.map { (index: Self.index(of: $0.field.stream), coefficient: $0.coefficient) }
    let count = max(
      combination.terms.map(\.operand.coefficients.count).max() ?? 2, (noises.map(\.index).max() ?? 0) + 1)
    var sum = [Double](repeating: 0, count: count)
    sum.withUnsafeMutableBufferPointer { sum in
      for term in combination.terms {
        let scale = term.coefficient
        term.operand.coefficients.withUnsafeBufferPointer { values in
          for index in values.indices { sum[index] += scale * values[index] }
        }
      }
    }
    for noise in noises { sum[noise.index] += noise.coefficient }
    coefficients = sum
  }

  /// Where each level of the tree begins, less its first node between the two levels.
  private static let offsets: [Int] = {
    var (offsets, next): ([Int], Int) = ([], 3)
    for level in 0...depth {
      let first = Int((lambdas.lowerBound + 16) / 32 * Double(1 << level))
      let last = Int((lambdas.upperBound + 16) / 32 * Double(1 << level))
      offsets.append(next - first)
      next += last - first + 1
    }
    return offsets
  }()

  /// - Precondition: the draw belongs to a path.
  private static func index(of stream: UInt32) -> Int {
    precondition(stream >= 1 << 31, "a draw that follows no path")
    let node = Int(stream & 0x7fff_ffff)
    guard node > 0 else { return 2 }
    let level = Int.bitWidth - 1 - node.leadingZeroBitCount
    return offsets[level] + node - (1 << level)
  }

  mutating func clamp(to bounds: ClosedRange<Double>) { Issue.record("a linear form cannot be clamped") }
  func innerProduct(_ other: PathForm) -> Double {
    zip(coefficients, other.coefficients).reduce(0) { $0 + $1.0 * $1.1 }
  }
  func sum() -> Double { coefficients[0] }
  func magnitudeQuantile(_ q: Double) -> Double { abs(sum()) }

  /// The root of the mean of the square.
  var rootMeanSquare: Double { innerProduct(self).squareRoot() }
}

/// Orders along Brownian paths, without drawing a number: on an affine denoiser the error at the end is a linear form
/// in the path's normals, and the mean of its square is the sum of the squares of its coefficients.
///
/// The grids halve each other's steps and lie on the tree, so that what a coarse one knows of the path a fine one does.
/// The reference, of order 2 in law, is within its own error the mean of the solution given the path at its points; its
/// error is then independent of what coarse grids are off by, and moves the measured order by 0.02 at most.
@Suite("Orders along Brownian paths")
struct StrongOrderTests {
  static let referenceSteps = 8192

  enum Spacing: CaseIterable {
    case even
    /// The first half in a quarter of the steps, the last quarter in half of them: the steps fall to a half twice.
    case graded

    func points(_ steps: Int) -> [TimePoint] {
      let lambdas = PathForm.lambdas
      return (0...steps).map { index in
        let even = Double(index) / Double(steps)
        let graded = even < 0.25 ? 2 * even : even < 0.5 ? 0.25 + even : 0.5 + even / 2
        let fraction = self == .even ? even : graded
        return StochasticOrderTests.path.point(
          lambda: lambdas.lowerBound + (lambdas.upperBound - lambdas.lowerBound) * fraction)
      }
    }
  }

  static func result(
    _ solver: any Solver, steps: Int, _ spacing: Spacing, prediction: Prediction = .sample
  ) async throws -> PathForm {
    let plan = try SamplingPlan(
      solver, at: spacing.points(steps), on: StochasticOrderTests.path, prediction: prediction, noise: .brownian)
    return try await plan.run(
      fields: [NoiseField(seed: 0)], shape: [], start: .unitVariance([PathForm(constant: 0.4, start: 1)])
    ) { requests in
      requests.map { request in
        let time = request.time
        var guess = PathForm.combining(
          (StochasticOrderTests.Denoiser.gain(time.lambda) / time.alpha, request.state))
        guess.coefficients[0] += StochasticOrderTests.Denoiser.shift(time.lambda)
        guard prediction != .sample else { return guess }
        let noise = PathForm.combining((1 / time.sigma, request.state), (-time.alpha / time.sigma, guess))
        return prediction == .epsilon ? noise : .combining((time.alpha, noise), (-time.sigma, guess))
      }
    }[0]
  }

  actor References {
    private var known: [String: PathForm] = [:]

    func of(_ solver: any Solver, _ spacing: Spacing, key: String) async throws -> PathForm {
      let key = "\(key), \(spacing)"
      if let form = known[key] { return form }
      let form = try await StrongOrderTests.result(solver, steps: StrongOrderTests.referenceSteps, spacing)
      known[key] = form
      return form
    }
  }

  static let references = References()

  static func reference(_ example: StochasticOrderTests.Case, _ spacing: Spacing) async throws -> PathForm {
    let tauSquared = example.tauSquared(0)
    guard example.tauSquared(1) == tauSquared else {
      return try await references.of(ERSDE(stages: 2), spacing, key: "er-sde")
    }
    return try await references.of(
      DPMSolverSDEMultistep(.sample, order: 2, variant: .heun, eta: tauSquared), spacing, key: "\(tauSquared)")
  }

  /// Churn in proportion to this interval.
  static let cases: [StochasticOrderTests.Case] =
    StochasticOrderTests.all.filter { $0.solver.stochasticOrder != nil && !($0.solver is ChurnedSolver) }
    + ChurnedSolver.Method.allCases.map { method in
      let width = PathForm.lambdas.upperBound - PathForm.lambdas.lowerBound
      do {
        return .init(solver: ChurnedSolver(method, churn: try Churn(amount: 0.5 * width)), tauSquared: { _ in 0.5 })
      } catch {
        preconditionFailure("\(error)")
      }
    }

  @Test(arguments: cases.indices, Spacing.allCases) func strongOrder(_ index: Int, _ spacing: Spacing) async throws {
    let example = Self.cases[index]
    // Churn is counted by steps: on a graded grid it is another SDE's, of more noise where the steps are short.
    if example.solver is ChurnedSolver, spacing == .graded { return }
    let reference = try await Self.reference(example, spacing)
    var errors: [Double] = []
    for steps in [256, 512, 1024] {
      let result = try await Self.result(example.solver, steps: steps, spacing)
      errors.append(PathForm.combining((1, result), (-1, reference)).rootMeanSquare)
    }
    var squares = errors.map { $0 * $0 }
    if let solver = example.solver as? ERSDE, solver.scale == .extended, solver.stages > 1 {
      // So little noise that what is of order 1 is not yet all: the square's next term, h³, is taken out.
      squares = zip(squares, squares.dropFirst()).map { 8 * $1 - $0 }
    }
    let orders = zip(squares, squares.dropFirst()).map { 0.5 * Double.log($0 / $1) / .log(2) }
    print("\(example.testDescription), \(spacing): strong \(orders), errors \(errors)")
    let claimed = try #require(example.solver.stochasticOrder).strong
    #expect(abs(orders[orders.count - 1] - claimed) < 0.15)
  }

  /// The orders are those for whatever a model returns: the results are the same to rounding, path by path.
  @Test(arguments: [Prediction.epsilon, .velocity]) func otherPredictions(_ prediction: Prediction) async throws {
    // The published churn reads the model's output at another level than it asked for it: there what it returns
    // matters.
    for example in Self.cases where example.solver.name != "euler-churn-published" {
      for spacing in Spacing.allCases {
        let expected = try await Self.result(example.solver, steps: 64, spacing)
        let result = try await Self.result(example.solver, steps: 64, spacing, prediction: prediction)
        let difference = PathForm.combining((1, result), (-1, expected)).rootMeanSquare
        #expect(difference < 1e-11 * expected.rootMeanSquare, "\(example.testDescription), \(spacing)")
      }
    }
  }
}
