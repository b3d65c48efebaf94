/// What is wrong with a request to sample.
public enum SamplingError: Error, Hashable, Sendable, CustomStringConvertible {
  case invalidBetas(String)
  case invalidShift(Double)
  case invalidSteps(found: Int, allowed: ClosedRange<Int>)
  case invalidGrid(String)
  case invalidOption(name: String, found: String, expected: String)
  case unknownSolver(String, known: [String])
  case unknownGrid(String, known: [String])
  case incompatible(solver: String, reason: String)
  case wrongModelOutput(found: String, expected: String)

  public var description: String {
    switch self {
    case .invalidBetas(let expected): "the betas must be \(expected)"
    case .invalidShift(let shift): "the flow's shift must be positive and finite, not \(shift)"
    case .invalidSteps(let found, let allowed):
      "\(found) steps: expected \(allowed.lowerBound) to \(allowed.upperBound)"
    case .invalidGrid(let reason): "the grid \(reason)"
    case .invalidOption(let name, let found, let expected): "\(name) is \(found), expected \(expected)"
    case .unknownSolver(let name, let known):
      "no solver is named \"\(name)\"; there are \(known.joined(separator: ", "))"
    case .unknownGrid(let name, let known): "no grid is named \"\(name)\"; there are \(known.joined(separator: ", "))"
    case .incompatible(let solver, let reason): "\(solver) cannot be used here: \(reason)"
    case .wrongModelOutput(let found, let expected): "the model returned \(found), expected \(expected)"
    }
  }
}
