import DenseTensors
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

  @Test(arguments: [1, 2, 7, 64]) func decomposes(_ size: Int) throws {
    let matrix = Self.covariance(size)
    let system = try SymmetricEigensystem(matrix, size: size)
    #expect(system.values == system.values.sorted())
    let scale = matrix.map(abs).max() ?? 1
    for row in 0..<size {
      for column in 0..<size {
        let rebuilt = (0..<size).reduce(0.0) {
          $0 + system.values[$1] * system.vectors[$1][row] * system.vectors[$1][column]
        }
        #expect(abs(rebuilt - matrix[row * size + column]) < 1e-12 * scale * Double(size))
        let product = zip(system.vectors[row], system.vectors[column]).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(product - (row == column ? 1 : 0)) < 1e-12)
      }
    }
    let square = Self.multiply(system.squareRoot, system.squareRoot, size)
    for (found, expected) in zip(square, matrix) { #expect(abs(found - expected) < 1e-12 * scale * Double(size)) }
  }

  @Test func badMatricesAreErrors() {
    #expect(throws: SymmetricEigensystem.Failure.notSquare(rows: 2, elements: 3)) {
      try SymmetricEigensystem([1, 2, 3], size: 2)
    }
    #expect(throws: SymmetricEigensystem.Failure.notFinite) { try SymmetricEigensystem([.nan], size: 1) }
    #expect(throws: SymmetricEigensystem.Failure.notSquare(rows: 0, elements: 0)) {
      try SymmetricEigensystem([], size: 0)
    }
  }
}
