extension SamplingPlan: CustomStringConvertible {
  /// The plan as a table: the points visited, then every operation with its coefficients.
  public var description: String {
    let header =
      "\(solver), \(stepCount) steps, \(evaluationCount) evaluations, \(prediction.rawValue) prediction, "
      + "\(registerCount) registers"
    var rows = [["step", "timestep", "alpha", "sigma", "lambda", "operation"]]
    var step = 0
    rows.append(Self.cells(of: grid[0], step: "0") + ["\(input) = \(Self.number(initialScale)) z0"])
    for operation in operations {
      switch operation {
      case .evaluate(let evaluation):
        let others = [("unguided", evaluation.unguided), ("variance", evaluation.variance)]
        let outputs =
          ["\(evaluation.output)"] + others.compactMap { name, register in register.map { "\(name) \($0)" } }
        rows.append(
          Self.cells(of: evaluation.point, step: "")
            + ["\(outputs.joined(separator: ", ")) = model(\(evaluation.input))"])
      case .combine(let combination):
        let text = "\(combination.output) = \(Self.sum(combination))"
        if let completed = combination.completedStep {
          step = completed
          rows.append(Self.cells(of: grid[step], step: "\(step)") + [text])
        } else {
          rows.append(["", "", "", "", "", text])
        }
      case .estimate(let estimate):
        rows.append(["", "", "", "", "", "e\(estimate.step) = rms(\(Self.sum(estimate.terms)))"])
      }
    }
    rows.append(["", "", "", "", "", "result \(output)"])
    return ([header] + Self.align(rows)).joined(separator: "\n")
  }

  private static func cells(of point: TimePoint, step: String) -> [String] {
    [step] + [point.timestep, point.alpha, point.sigma, point.lambda].map(number)
  }

  private static func sum(_ combination: Combination) -> String {
    let text = sum(combination.terms, combination.noises)
    return switch combination.bound {
    case .clip(let limit): "clip(\(text), ±\(number(limit)))"
    case .threshold(let quantile, let maximum): "threshold(\(text), \(number(quantile)), \(number(maximum)))"
    case nil: text
    }
  }

  /// Independent draws are z1, z2 ..., the normals of a Brownian path b0, b1 ...; learned deviations are exponentials.
  private static func sum(_ terms: [Combination.Term], _ noises: [Combination.Noise] = []) -> String {
    let first = BrownianPath.firstStream
    let parts =
      terms.map { ($0.coefficient, "\($0.register)") }
      + noises.map { noise in
        let draw = noise.stream < first ? "z\(noise.stream)" : "b\(noise.stream - first)"
        guard let deviation = noise.deviation else { return (noise.coefficient, draw) }
        let exponent = "\(number(deviation.offset)) + \(number(deviation.slope)) \(deviation.register)"
        return (noise.coefficient, "exp(\(exponent)) \(draw)")
      }
    guard !parts.isEmpty else { return "0" }
    var text = ""
    for (index, (coefficient, name)) in parts.enumerated() {
      let sign = coefficient < 0 ? (index == 0 ? "-" : " - ") : (index == 0 ? "" : " + ")
      text += "\(sign)\(number(abs(coefficient))) \(name)"
    }
    return text
  }

  /// Six significant digits, without Foundation.
  private static func number(_ value: Double) -> String {
    guard value.isFinite else { return value > 0 ? "inf" : value < 0 ? "-inf" : "nan" }
    guard value != 0 else { return "0" }
    var exponent = 0
    var scale = 1.0
    while abs(value) * scale < 100_000, exponent < 12 { scale *= 10; exponent += 1 }
    return "\((value * scale).rounded() / scale)".replacingSuffix(".0", with: "")
  }

  private static func align(_ rows: [[String]]) -> [String] {
    let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = zip(row, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }
      return (cells + [row[5]]).joined(separator: "  ")
    }
  }
}

extension SamplingPlan.Register: CustomStringConvertible {
  public var description: String { "r\(index)" }
}

extension String {
  fileprivate func replacingSuffix(_ suffix: String, with replacement: String) -> String {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) + replacement : self
  }
}
