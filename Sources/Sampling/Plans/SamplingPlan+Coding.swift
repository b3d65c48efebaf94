extension SamplingPlan: Codable {
  enum CodingKeys: String, CodingKey {
    case solver, prediction, grid, initialScale, operations, registerCount, input, output
  }

  /// - Throws: `DecodingError` also where the plan is not one that can be run.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    solver = try container.decode(String.self, forKey: .solver)
    prediction = try container.decode(Prediction.self, forKey: .prediction)
    grid = try container.decode([TimePoint].self, forKey: .grid)
    operations = try container.decode([Operation].self, forKey: .operations)
    registerCount = try container.decode(Int.self, forKey: .registerCount)
    input = try container.decode(Register.self, forKey: .input)
    output = try container.decode(Register.self, forKey: .output)
    if let fault {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: fault))
    }
  }

  /// The initial scale follows from the grid; it is written for other programs.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(solver, forKey: .solver)
    try container.encode(prediction, forKey: .prediction)
    try container.encode(grid, forKey: .grid)
    try container.encode(initialScale, forKey: .initialScale)
    try container.encode(operations, forKey: .operations)
    try container.encode(registerCount, forKey: .registerCount)
    try container.encode(input, forKey: .input)
    try container.encode(output, forKey: .output)
  }
}

/// A register is its number.
extension SamplingPlan.Register: Codable {
  public init(from decoder: any Decoder) throws {
    index = try decoder.singleValueContainer().decode(Int.self)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(index)
  }
}

/// An operation is an object with one key, which names it.
extension SamplingPlan.Operation: Codable {
  enum CodingKeys: String, CodingKey, CaseIterable {
    case evaluate, combine, estimate
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    guard let key = container.allKeys.first, container.allKeys.count == 1 else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath,
          debugDescription: "expected one of \(CodingKeys.allCases.map(\.rawValue).joined(separator: ", "))"))
    }
    self =
      switch key {
      case .evaluate: .evaluate(try container.decode(SamplingPlan.Evaluation.self, forKey: key))
      case .combine: .combine(try container.decode(SamplingPlan.Combination.self, forKey: key))
      case .estimate: .estimate(try container.decode(SamplingPlan.Estimate.self, forKey: key))
      }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .evaluate(let evaluation): try container.encode(evaluation, forKey: .evaluate)
    case .combine(let combination): try container.encode(combination, forKey: .combine)
    case .estimate(let estimate): try container.encode(estimate, forKey: .estimate)
    }
  }
}
