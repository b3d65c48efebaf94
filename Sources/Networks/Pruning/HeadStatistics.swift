import DenseTensors
import Tensors

/// What the heads of an attention gave over many pixels: sums of their columns, and of products of any two.
struct HeadStatistics {
  let width: Int
  private var rows = 0
  /// Row-major, `width + 1` each way: the last column is a 1, so that its sums are those of the columns.
  private var moments: [Double]

  init(width: Int) {
    self.width = width
    moments = Array(repeating: 0, count: (width + 1) * (width + 1))
  }

  /// Adds the rows of an attention's output, `[batch, pixels, width]`.
  mutating func add(_ output: DenseTensor<Float>) {
    let size = width + 1
    rows += output.shape.count / width
    var row = [Double](repeating: 1, count: size)
    output.withUnsafeBufferPointer { elements in
      moments.withUnsafeMutableBufferPointer { moments in
        for first in stride(from: 0, to: elements.count, by: width) {
          for column in 0..<width { row[column] = Double(elements[first + column]) }
          for left in 0..<size {
            let value = row[left]
            for right in left..<size { moments[left * size + right] += value * row[right] }
          }
        }
      }
    }
  }

  /// The mean of every column.
  var means: [Double] { (0..<width).map { moment($0, width) / Double(max(rows, 1)) } }

  private func moment(_ left: Int, _ right: Int) -> Double {
    moments[min(left, right) * (width + 1) + max(left, right)]
  }

  /// What stands in for removed columns: their means, or an affine function of those that stay.
  ///
  /// The latter is the least-squares fit, as He et al. 2017, arXiv:1707.06168, section 3.1, reconstruct the output of
  /// pruned channels; a ridge of 10⁻⁶ of the mean square keeps it from dividing by nothing.
  func replacement(removing removed: [Int], by compensation: HeadCompensation) -> HeadReplacement {
    let gone = Set(removed)
    let kept = (0..<width).filter { !gone.contains($0) }
    var result = HeadReplacement(
      kept: kept, removed: removed, weights: Array(repeating: 0, count: kept.count * removed.count),
      constants: Array(repeating: 0, count: removed.count))
    switch compensation {
    case .none: return result
    case .mean:
      let means = means
      result.constants = removed.map { means[$0] }
    case .leastSquares:
      let terms = kept + [width]
      let ridge = 1e-6 * kept.reduce(0) { $0 + moment($1, $1) } / Double(max(kept.count, 1))
      var matrix = terms.flatMap { left in terms.map { moment(left, $0) + (left == $0 && left < width ? ridge : 0) } }
      var sides = terms.flatMap { term in removed.map { moment(term, $0) } }
      guard Self.solve(&matrix, terms.count, &sides, removed.count) else {
        return replacement(removing: removed, by: .mean)
      }
      result.weights = Array(sides.prefix(kept.count * removed.count))
      result.constants = Array(sides.suffix(removed.count))
    }
    return result
  }

  /// Solves a symmetric positive definite system by Cholesky's factors; false where it is not one.
  private static func solve(_ matrix: inout [Double], _ size: Int, _ sides: inout [Double], _ columns: Int) -> Bool {
    for pivot in 0..<size {
      for row in pivot..<size {
        var sum = matrix[row * size + pivot]
        for inner in 0..<pivot { sum -= matrix[row * size + inner] * matrix[pivot * size + inner] }
        if row == pivot {
          guard sum > 0 else { return false }
          matrix[row * size + row] = sum.squareRoot()
        } else {
          matrix[row * size + pivot] = sum / matrix[pivot * size + pivot]
        }
      }
    }
    for column in 0..<columns {
      for row in 0..<size {
        var sum = sides[row * columns + column]
        for inner in 0..<row { sum -= matrix[row * size + inner] * sides[inner * columns + column] }
        sides[row * columns + column] = sum / matrix[row * size + row]
      }
      for row in (0..<size).reversed() {
        var sum = sides[row * columns + column]
        for inner in row + 1..<size { sum -= matrix[inner * size + row] * sides[inner * columns + column] }
        sides[row * columns + column] = sum / matrix[row * size + row]
      }
    }
    return true
  }
}

/// What `to_out` is given to make up for heads that are gone.
public enum HeadCompensation: String, CaseIterable, Sendable {
  case none
  /// The mean of what they gave, which goes into the bias.
  case mean
  /// What can be foretold of them from the heads that stay, which goes into weights and bias.
  case leastSquares = "least-squares"
}

/// Columns of an attention's output, and what stands in for those that are removed: Σ kept × weights + constants.
struct HeadReplacement: Hashable, Sendable {
  let kept: [Int]
  let removed: [Int]
  /// Row-major, `[kept, removed]`.
  var weights: [Double]
  var constants: [Double]

  /// `to_out`'s weights, row-major `[outputs, kept + removed]`, and bias for the columns that stay.
  func fold(_ weights: [Float], _ bias: [Float]) -> (weights: [Float], bias: [Float]) {
    let width = kept.count + removed.count
    var folded: [Float] = []
    var bias = bias
    for output in bias.indices {
      let row = weights[output * width..<(output + 1) * width].map(Double.init)
      for (index, column) in kept.enumerated() {
        let own = self.weights[index * removed.count..<(index + 1) * removed.count]
        folded.append(Float(zip(removed, own).reduce(row[column]) { $0 + row[$1.0] * $1.1 }))
      }
      bias[output] = Float(zip(removed, constants).reduce(Double(bias[output])) { $0 + row[$1.0] * $1.1 })
    }
    return (folded, bias)
  }
}
