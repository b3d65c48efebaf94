import CLAPACKE

/// The eigenvalues and eigenvectors of a symmetric matrix, by LAPACK's divide and conquer.
public struct SymmetricEigensystem: Sendable {
  /// Ascending.
  public let values: [Double]
  /// One row per eigenvalue, orthonormal.
  public let vectors: [[Double]]

  /// What LAPACK or the input was wrong with.
  public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
    case notSquare(rows: Int, elements: Int)
    case notFinite
    case lapack(info: Int)

    public var description: String {
      switch self {
      case .notSquare(let rows, let elements): "\(elements) elements are no square matrix of \(rows) rows"
      case .notFinite: "the matrix has an element that is not finite"
      case .lapack(let info): "LAPACK's dsyevd did not converge (info \(info))"
      }
    }
  }

  /// - Parameter matrix: `[size, size]`, row-major; the upper triangle is read.
  public init(_ matrix: [Double], size: Int) throws(Failure) {
    let (count, overflow) = size.multipliedReportingOverflow(by: size)
    guard size > 0, !overflow, matrix.count == count else { throw .notSquare(rows: size, elements: matrix.count) }
    guard matrix.allSatisfy(\.isFinite) else { throw .notFinite }
    var vectors = matrix
    var values = Array(repeating: 0.0, count: size)
    // Column-major reads the upper triangle of a row-major matrix as its lower one, and leaves eigenvectors in rows.
    let info = LAPACKE_dsyevd(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "L")), Int32(size), &vectors, Int32(size), &values)
    guard info == 0 else { throw .lapack(info: Int(info)) }
    self.values = values
    self.vectors = (0..<size).map { Array(vectors[$0 * size..<($0 + 1) * size]) }
  }

  /// The symmetric square root of the matrix, negative eigenvalues from rounding counting as 0; row-major.
  public var squareRoot: [Double] {
    let size = values.count
    var root = Array(repeating: 0.0, count: size * size)
    for (value, vector) in zip(values, vectors) {
      let scale = max(value, 0).squareRoot()
      for row in 0..<size {
        // In this order both triangles get the same bits.
        for column in 0..<size { root[row * size + column] += scale * (vector[row] * vector[column]) }
      }
    }
    return root
  }
}
