import DenseTensors
import Foundation
import Testing

@Suite("LAPACK's eigensystems")
struct EigensystemTests {
  static func covariance(_ size: Int) -> [Double] {
    var numbers = TestNumbers(seed: UInt64(size))
    let factor = numbers.array(size * size).map(Double.init)
    return multiply(factor, factor, size, transposesRight: true)
  }

  static func multiply(_ left: [Double], _ right: [Double], _ size: Int, transposesRight: Bool = false) -> [Double] {
    (0..<size * size).map { index in
      (0..<size).reduce(0) { sum, inner in
        sum + left[index / size * size + inner]
          * right[transposesRight ? index % size * size + inner : inner * size + index % size]
      }
    }
  }

  /// What LAPACK promises of its errors: a small multiple of the size and the matrix's norm times half an ulp.
  static func bound(_ matrix: [Double], _ size: Int) -> Double {
    4 * Double(size) * 0x1p-53 * matrix.reduce(0) { $0 + $1 * $1 }.squareRoot()
  }

  @Test(arguments: [1, 2, 3, 7, 16, 64]) func decomposes(_ size: Int) throws {
    let matrix = Self.covariance(size)
    let system = try SymmetricEigensystem(matrix, size: size)
    #expect(system.values == system.values.sorted() && system.values.count == size)
    let bound = Self.bound(matrix, size)
    #expect(bound < 1e-12 * Double(size))
    for row in 0..<size {
      for column in 0..<size {
        let rebuilt = (0..<size).reduce(0.0) {
          $0 + system.values[$1] * system.vectors[$1][row] * system.vectors[$1][column]
        }
        #expect(abs(rebuilt - matrix[row * size + column]) <= bound)
        let product = zip(system.vectors[row], system.vectors[column]).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(product - (row == column ? 1 : 0)) <= 4 * Double(size) * 0x1p-53)
      }
    }
    let root = system.squareRoot
    let square = Self.multiply(root, root, size)
    for index in square.indices {
      #expect(abs(square[index] - matrix[index]) <= 2 * bound)
      #expect(root[index] == root[index % size * size + index / size])
    }
  }

  @Test func knownEigenvalues() throws {
    // Of the path of five nodes: 2 - 2 cos(k pi / 6).
    var matrix = Array(repeating: 0.0, count: 25)
    for index in 0..<5 {
      matrix[index * 6] = 2
      if index < 4 { (matrix[index * 6 + 1], matrix[index * 6 + 5]) = (-1, -1) }
    }
    let system = try SymmetricEigensystem(matrix, size: 5)
    for (index, value) in system.values.enumerated() {
      #expect(abs(value - (2 - 2 * cos(Double(index + 1) * .pi / 6))) <= Self.bound(matrix, 5))
    }
  }

  @Test func onlyTheUpperTriangleIsRead() throws {
    let matrix = Self.covariance(7)
    var upper = matrix
    for index in upper.indices where index % 7 < index / 7 { upper[index] = 1e6 }
    let (whole, half) = (try SymmetricEigensystem(matrix, size: 7), try SymmetricEigensystem(upper, size: 7))
    // Not the same bits: a product of OpenBLAS's may depend on where in memory its operands lie.
    for (one, other) in [(whole.values, half.values), (whole.squareRoot, half.squareRoot)] {
      #expect(zip(one, other).allSatisfy { abs($0 - $1) < 1e-9 })
    }
  }

  @Test func rootsOfNegativeEigenvaluesAreZero() throws {
    #expect(try SymmetricEigensystem([4, 0, 0, -1e-17], size: 2).squareRoot == [2, 0, 0, 0])
  }

  @Test func badMatricesAreErrors() {
    for (elements, size) in [(3, 2), (0, 0), (5, 2), (1, -1), (4, .max), (4, .min), (0, 1 << 32)] {
      #expect(throws: SymmetricEigensystem.Failure.notSquare(rows: size, elements: elements)) {
        try SymmetricEigensystem(Array(repeating: 1, count: elements), size: size)
      }
    }
    for broken in [Double.nan, .infinity, -.infinity] {
      #expect(throws: SymmetricEigensystem.Failure.notFinite) {
        try SymmetricEigensystem([1, 0, broken, 1], size: 2)
      }
    }
  }
}
