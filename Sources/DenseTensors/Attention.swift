import CKernels
import COpenBLAS
import Tensors

/// Which keys a query may see.
public enum AttentionMask: Hashable, Sendable {
  case none
  /// Its own position and those before it.
  case causal
}

/// The keys and values of one image or prompt: columns of the rows of a tensor, wherever a projection left them.
public struct KeyValues: Sendable {
  let tensor: DenseTensor<Float>
  let firstRow: Int
  let length: Int
  let keyColumn: Int
  let valueColumn: Int

  /// Rows `firstRow ..< firstRow + length` of `tensor`, whose rows run over its last dimension.
  ///
  /// - Precondition: the tensor has these rows.
  public init(_ tensor: DenseTensor<Float>, firstRow: Int, length: Int, keyColumn: Int, valueColumn: Int) {
    precondition((firstRow + length) * tensor.shape[-1] <= tensor.shape.count)
    self.tensor = tensor
    self.firstRow = firstRow
    self.length = length
    self.keyColumn = keyColumn
    self.valueColumn = valueColumn
  }

  var stride: Int { tensor.shape[-1] }
  var key: UnsafePointer<Float> {
    UnsafePointer(tensor.storage.elements.baseAddress! + firstRow * stride + keyColumn)
  }
  var value: UnsafePointer<Float> {
    UnsafePointer(tensor.storage.elements.baseAddress! + firstRow * stride + valueColumn)
  }
}

extension DenseTensor where Scalar == Float {
  /// Scaled dot-product attention: softmax(Q Kᵀ / √dimension) V per image and head.
  ///
  /// Vaswani et al. 2017, arXiv:1706.03762, eq. 1. Queries are taken in blocks, so that the scores stay in the cache
  /// and memory does not grow with the square of the length.
  ///
  /// - Parameters:
  ///   - queries: `[batch, length, columns]`, of which the first `width` columns are the queries.
  ///   - keyValues: one per image.
  ///   - width: heads × dimension.
  /// - Returns: `[batch, length, width]`.
  /// - Precondition: the shapes fit, and the width is a multiple of the heads.
  public static func attention(
    queries: DenseTensor, keyValues: [KeyValues], width: Int, heads: Int, mask: AttentionMask = .none
  ) -> DenseTensor {
    let (batch, length, columns) = (queries.shape[0], queries.shape[1], queries.shape[2])
    precondition(keyValues.count == batch && width <= columns && width % heads == 0)
    precondition(keyValues.allSatisfy { max($0.keyColumn, $0.valueColumn) + width <= $0.stride })
    let timer = Profile.timer()
    defer {
      let lengths = keyValues.map(\.length)
      timer?.stop(
        .attention, shape: "\(batch)x\(length), keys \(lengths.max() ?? 0), \(heads) x \(width / heads)",
        operations: 4 * Double(length * width) * Double(lengths.reduce(0, +)))
    }
    let dimension = width / heads
    let scale = 1 / Float(dimension).squareRoot()
    let result = DenseTensor(uninitialized: [batch, length, width])
    let blockLength = min(length, 64)
    let blocks = (length + blockLength - 1) / blockLength
    let (query, output) = (queries.storage.elements.baseAddress!, result.storage.elements.baseAddress!)
    withExtendedLifetime((queries, keyValues, result)) {
      ThreadPool.forEach(batch * heads * blocks) { task in
        let (image, head, block) = (task / blocks / heads, task / blocks % heads, task % blocks)
        let source = keyValues[image]
        let start = block * blockLength
        let rows = min(blockLength, length - start)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows * source.length) { scores in
          let scores = scores.baseAddress!
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(source.length), Int32(dimension), 1,
            query + (image * length + start) * columns + head * dimension, Int32(columns),
            source.key + head * dimension, Int32(source.stride), 0, scores, Int32(source.length))
          softmax(scores, rows: rows, firstQuery: start, length: source.length, scale: scale, mask: mask)
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(dimension), Int32(source.length), 1,
            scores, Int32(source.length), source.value + head * dimension, Int32(source.stride), 0,
            output + (image * length + start) * width + head * dimension, Int32(width))
        }
      }
    }
    return result
  }

  private static func softmax(
    _ scores: UnsafeMutablePointer<Float>, rows: Int, firstQuery: Int, length: Int, scale: Float, mask: AttentionMask
  ) {
    guard mask == .causal else {
      fs_softmax(scores, Int64(rows), Int64(length), Int64(length), scale)
      return
    }
    for row in 0..<rows {
      let visible = min(firstQuery + row + 1, length)
      fs_softmax(scores + row * length, 1, Int64(visible), Int64(length), scale)
      (scores + row * length + visible).update(repeating: 0, count: length - visible)
    }
  }
}
