import Foundation
import Sampling
import Testing

/// Documents/plan-format.md, read by a program that knows nothing else of plans.
struct PlanInterpreter {
  /// JSON without a schema. (`JSONSerialization` rounds some numbers on Linux.)
  enum Value: Decodable {
    case number(Double)
    case text(String)
    case list([Value])
    case object([String: Value])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else if let text = try? container.decode(String.self) {
        self = .text(text)
      } else if let list = try? container.decode([Value].self) {
        self = .list(list)
      } else {
        self = .object(try container.decode([String: Value].self))
      }
    }

    subscript(key: String) -> Value? { if case .object(let values) = self { values[key] } else { nil } }
    var keys: Set<String> { if case .object(let values) = self { Set(values.keys) } else { [] } }
    var number: Double { get throws { if case .number(let value) = self { value } else { throw Malformed() } } }
    var list: [Value] { get throws { if case .list(let values) = self { values } else { throw Malformed() } } }
  }

  struct Malformed: Error {}

  let plan: Value

  init(_ json: Data) throws {
    plan = try JSONDecoder().decode(Value.self, from: json)
  }

  static func number(_ value: Value?) throws -> Double { try #require(value).number }
  static func index(_ value: Value?) throws -> Int { Int(try number(value)) }

  /// - Parameters:
  ///   - noise: the array of a stream.
  ///   - model: (state, timestep, alpha, sigma) to output.
  func run(
    noise: (Int) -> [Double], model: ([Double], Double, Double, Double) throws -> [Double]
  ) throws -> [Double] {
    var registers: [Int: [Double]] = [:]
    let scale = try Self.number(plan["initialScale"])
    registers[try Self.index(plan["input"])] = noise(0).map { scale * $0 }
    func sum(_ operation: Value) throws -> [Double] {
      var total = Array(repeating: 0.0, count: noise(0).count)
      for term in try operation["terms"]?.list ?? [] {
        let values = try #require(registers[try Self.index(term["register"])])
        let coefficient = try Self.number(term["coefficient"])
        for index in total.indices { total[index] += coefficient * values[index] }
      }
      for term in try operation["noises"]?.list ?? [] {
        var values = noise(try Self.index(term["stream"]))
        let coefficient = try Self.number(term["coefficient"])
        if let deviation = term["deviation"] {
          let exponents = try #require(registers[try Self.index(deviation["register"])])
          let (slope, offset) = try (Self.number(deviation["slope"]), Self.number(deviation["offset"]))
          for index in values.indices { values[index] *= exp(offset + slope * exponents[index]) }
        }
        for index in total.indices { total[index] += coefficient * values[index] }
      }
      return total
    }
    for operation in try #require(plan["operations"]).list {
      #expect(operation.keys.count == 1)
      if let evaluation = operation["evaluate"] {
        let point = try #require(evaluation["point"])
        let output = try model(
          try #require(registers[try Self.index(evaluation["input"])]), Self.number(point["timestep"]),
          Self.number(point["alpha"]), Self.number(point["sigma"]))
        registers[try Self.index(evaluation["output"])] = output
        if let unguided = evaluation["unguided"] { registers[try Self.index(unguided)] = output }
        if let variance = evaluation["variance"] {
          registers[try Self.index(variance)] = Self.variance(output)
        }
      } else if let combination = operation["combine"] {
        var total = try sum(combination)
        if let bound = combination["bound"] { total = try bounded(total, by: bound) }
        registers[try Self.index(combination["output"])] = total
      } else {
        #expect(operation.keys == ["estimate"])
      }
    }
    return try #require(registers[try Self.index(plan["output"])])
  }

  /// What stands for the second output of a model.
  static func variance(_ output: [Double]) -> [Double] { output.map { 0.3 * $0 - 0.5 } }

  private func bounded(_ values: [Double], by bound: Value) throws -> [Double] {
    if let clip = bound["clip"] {
      let limit = try Self.number(clip["limit"])
      return values.map { min(max($0, -limit), limit) }
    }
    let threshold = try #require(bound["threshold"])
    let sorted = values.map(abs).sorted()
    let position = try Self.number(threshold["quantile"]) * Double(sorted.count - 1)
    let (below, above) = (sorted[Int(position)], sorted[min(Int(position) + 1, sorted.count - 1)])
    let quantile = below + (position - position.rounded(.down)) * (above - below)
    let limit = min(max(quantile, 1), try Self.number(threshold["maximum"]))
    // The reciprocal, as a coefficient of a sum.
    return values.map { min(max($0, -limit), limit) * (1 / limit) }
  }
}

@Suite("The JSON of a plan")
struct PlanFormatTests {
  static let data = GaussianData(
    mean: (0..<12).map { 0.1 * Double($0) - 0.5 }, variances: (0..<12).map { 0.1 + 0.2 * Double($0) })

  static func plan(
    _ entry: SolverEntry, steps: Int, bound: SampleBound? = nil, noise: NoiseCorrelation = .independent
  ) throws -> SamplingPlan {
    let isFlow = entry.family == .flow
    let path: any NoisePath = isFlow ? try RectifiedFlow() : VariancePreserving.stableDiffusion
    var points = try GridSpacing.trailing.points(steps: steps, for: entry.conventions, on: path)
    let solver = try entry.make(steps)
    if solver.isInversion { points.reverse() }
    return try SamplingPlan(
      solver, at: points, prediction: isFlow ? .flow : .epsilon, bound: bound, noise: noise)
  }

  /// Every solver, by the document alone: the same bits as by the executor.
  @Test(arguments: [nil, SampleBound.clip(limit: 1), .threshold(quantile: 0.9, maximum: 2)])
  func anotherProgramCanRunIt(_ bound: SampleBound?) async throws {
    let field = NoiseField(seed: 5)
    for entry in SolverCatalogue.all {
      for correlation in [NoiseCorrelation.independent, .brownian] {
        let plan = try Self.plan(entry, steps: 7, bound: bound, noise: correlation)
        let expected: DoubleTensor = try await plan.run(seed: 5, shape: [12]) { requests in
          requests.map { Self.data.prediction(plan.prediction, of: $0.state, at: $0.time) }
        }
        let interpreter = try PlanInterpreter(JSONEncoder().encode(plan))
        let result = try interpreter.run(
          noise: { DoubleTensor(noise: field.with(stream: UInt32($0)), shape: [12]).values },
          model: { state, timestep, alpha, sigma in
            Self.data.prediction(
              plan.prediction, of: DoubleTensor(state), at: .init(timestep: timestep, alpha: alpha, sigma: sigma)
            ).values
          })
        #expect(result == expected.values, "\(entry.name), \(correlation)")
      }
    }
  }

  /// Decoded from its own JSON a plan is the same and runs bit-identically, several at once.
  @Test func roundTripsRunBitIdentically() async throws {
    for entry in SolverCatalogue.all {
      for correlation in [NoiseCorrelation.independent, .brownian] {
        let plan = try Self.plan(entry, steps: 6, noise: correlation)
        let decoded = try JSONDecoder().decode(SamplingPlan.self, from: JSONEncoder().encode(plan))
        #expect(decoded == plan && decoded.description == plan.description, "\(entry.name)")
        let images = try await withThrowingTaskGroup(of: DoubleTensor.self) { group in
          for plan in [plan, decoded, plan, decoded] {
            group.addTask {
              try await plan.run(seed: 9, shape: [12]) { requests in
                requests.map { Self.data.prediction(plan.prediction, of: $0.state, at: $0.time) }
              }
            }
          }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(images.allSatisfy { $0 == images[0] }, "\(entry.name)")
      }
    }
  }
}
