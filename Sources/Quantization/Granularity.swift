import Tensors

/// Which elements of a tensor share a step.
public enum Granularity: Hashable, Sendable {
  /// All of them.
  case tensor
  /// Those of one index of the outermost dimension: an output of weights, an image of activations.
  case channel
  /// Those that differ in the innermost dimension alone: a pixel of activations.
  case row
  /// Runs of so many along the innermost dimension; the last run of a row may be shorter.
  case block(Int)
  /// Parts of every row, by their sizes: the halves of a skip concatenation differ in range, and a common step would
  /// lose the smaller one.
  ///
  /// Li et al. 2023, arXiv:2302.04304, section 4.2.
  case parts([Int])

  /// The elements that share a step, in order; together they are all.
  ///
  /// - Precondition: blocks are not empty, and parts add up to a row.
  public func groups(of shape: Shape) -> [Range<Int>] {
    guard shape.count > 0 else { return [] }
    let row = shape.rank == 0 ? 1 : shape[-1]
    switch self {
    case .tensor: return [0..<shape.count]
    case .channel: return Self.runs(of: shape.count, length: shape.count / (shape.rank == 0 ? 1 : shape[0]))
    case .row: return Self.runs(of: shape.count, length: row)
    case .block(let size):
      precondition(size > 0, "blocks of \(size)")
      return Self.runs(of: shape.count, length: row).flatMap { range in
        stride(from: range.lowerBound, to: range.upperBound, by: size).map { $0..<min($0 + size, range.upperBound) }
      }
    case .parts(let sizes):
      precondition(sizes.allSatisfy { $0 > 0 } && sizes.reduce(0, +) == row, "parts \(sizes) of rows of \(row)")
      return Self.runs(of: shape.count, length: row).flatMap { range in
        var first = range.lowerBound
        return sizes.map { size in
          defer { first += size }
          return first..<first + size
        }
      }
    }
  }

  private static func runs(of count: Int, length: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: length).map { $0..<$0 + length }
  }
}
