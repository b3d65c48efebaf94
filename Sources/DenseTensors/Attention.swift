import CKernels
import Tensors

/// Which keys a query may see.
public enum AttentionMask: Hashable, Sendable {
  case none
  /// Its own position and those before it.
  case causal
}

/// What the two products of attention are computed from; scores, weights and sums are float in both.
public enum AttentionPrecision: Hashable, Sendable {
  case float32
  /// Queries, keys, values and weights are rounded to 8 bits: faster where the CPU has instructions for it.
  case bfloat16
}

/// The keys and values of one image or prompt: columns of the rows of a tensor, wherever a projection left them.
public struct KeyValues: Sendable {
  let tensor: DenseTensor<Float>
  let firstRow: Int
  public let length: Int
  let keyColumn: Int
  let valueColumn: Int

  /// Rows `firstRow ..< firstRow + length` of `tensor`, whose rows run over its last dimension.
  ///
  /// - Precondition: the tensor has these rows, and no number is negative.
  public init(_ tensor: DenseTensor<Float>, firstRow: Int, length: Int, keyColumn: Int, valueColumn: Int) {
    precondition(min(firstRow, length, keyColumn, valueColumn) >= 0)
    precondition((firstRow + length) * tensor.shape[-1] <= tensor.shape.count)
    self.tensor = tensor
    self.firstRow = firstRow
    self.length = length
    self.keyColumn = keyColumn
    self.valueColumn = valueColumn
  }

  /// The memory of the tensor that they are in.
  public var byteCount: Int { tensor.shape.count * MemoryLayout<Float>.stride }

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
  /// Vaswani et al. 2017, arXiv:1706.03762, eq. 1, in one pass over the keys (Dao et al. 2022, arXiv:2205.14135): no
  /// row of scores is ever whole, and memory does not grow with the length.
  ///
  /// - Parameters:
  ///   - queries: `[batch, length, columns]`, of which the first `width` columns are the queries.
  ///   - keyValues: one per image.
  ///   - width: heads × dimension.
  /// - Returns: `[batch, length, width]`.
  /// - Precondition: the shapes fit, and the width is a positive multiple of the heads.
  public static func attention(
    queries: DenseTensor, keyValues: [KeyValues], width: Int, heads: Int, mask: AttentionMask = .none,
    precision: AttentionPrecision = .float32
  ) -> DenseTensor {
    let (batch, length, columns) = (queries.shape[0], queries.shape[1], queries.shape[2])
    precondition(keyValues.count == batch && min(width, heads) > 0 && width <= columns && width % heads == 0)
    precondition(keyValues.allSatisfy { max($0.keyColumn, $0.valueColumn) + width <= $0.stride })
    let timer = Profile.timer()
    defer {
      let lengths = keyValues.map(\.length)
      timer?.stop(
        .attention, shape: "\(batch)x\(length), keys \(lengths.max() ?? 0), \(heads) x \(width / heads)",
        operations: 4 * Double(length * width) * Double(lengths.reduce(0, +)))
    }
    let dimension = width / heads
    let result = DenseTensor(uninitialized: [batch, length, width])
    let mostKeys = keyValues.map(\.length).max() ?? 0
    let pieces = Pieces(batch: batch, length: length, heads: heads, dimension: dimension, keys: mostKeys)
    let isRounded = precision == .bfloat16
    /// What the image with the most of it has: not always that with the most keys, as few are packed in another way.
    func most(_ count: (_ keys: Int64, _ dimension: Int64, _ bfloat16: Bool) -> Int64) -> Int {
      keyValues.map { Int(count(Int64($0.length), Int64(dimension), isRounded)) }.max() ?? 0
    }
    let scratchCount = most(fs_attention_scratch_count)
    let keyBlocks = most(fs_attention_blocks)
    let packedCount = most(fs_attention_packed_count)
    let packed = DenseStorage<Float>(count: batch * heads * packedCount)
    let (query, output) = (queries.storage.elements.baseAddress!, result.storage.elements.baseAddress!)
    func operation(image: Int, head: Int) -> fs_attention {
      let source = keyValues[image]
      return fs_attention(
        query: query + image * length * columns + head * dimension, query_stride: Int64(columns),
        key: source.key + head * dimension, value: source.value + head * dimension,
        key_stride: Int64(source.stride), keys: Int64(source.length), dimension: Int64(dimension),
        scale: 1 / Float(dimension).squareRoot(), causal: mask == .causal, bfloat16: isRounded,
        packed: packed.elements.baseAddress! + (image * heads + head) * packedCount,
        output: output + image * length * width + head * dimension, output_stride: Int64(width))
    }
    withExtendedLifetime((queries, keyValues, packed, result)) {
      // Where one task takes all queries of a head, it packs the head's keys too: waking threads twice costs more.
      let packsAhead = pieces.count > 1
      if packsAhead {
        ThreadPool.forEach(batch * heads * keyBlocks) { task in
          let (image, head, block) = (task / keyBlocks / heads, task / keyBlocks % heads, task % keyBlocks)
          var operation = operation(image: image, head: head)
          let end = min(Int64(block) + 1, fs_attention_blocks(operation.keys, operation.dimension, operation.bfloat16))
          fs_pack_keys(&operation, Int64(block), end)
        }
      }
      ThreadPool.forEach(batch * pieces.headGroups * pieces.count) { task in
        let (image, piece) = (task / pieces.count / pieces.headGroups, task % pieces.count)
        let firstHead = task / pieces.count % pieces.headGroups * pieces.headsAtOnce
        let rows = piece * pieces.rows..<min((piece + 1) * pieces.rows, length)
        for head in firstHead..<firstHead + pieces.headsAtOnce {
          var operation = operation(image: image, head: head)
          if !packsAhead {
            fs_pack_keys(&operation, 0, fs_attention_blocks(operation.keys, operation.dimension, operation.bfloat16))
          }
          fs_attend(&operation, Int64(rows.lowerBound), Int64(rows.upperBound), threadScratch(scratchCount))
        }
      }
    }
    return result
  }
}

/// How attention is split: pieces of the queries of one head, or of all heads.
private struct Pieces {
  /// Queries of a piece.
  let rows: Int
  /// Pieces of an image's queries.
  let count: Int
  let headsAtOnce: Int
  let headGroups: Int

  init(batch: Int, length: Int, heads: Int, dimension: Int, keys: Int) {
    let most = Int(fs_attention_queries(Int64(dimension)))
    // Few keys stay in the cache for all heads, and then a query is read with the cache lines that its heads share.
    let keysFit = keys * heads * dimension <= 1 << 18
    if keysFit {
      let (step, wanted) = (32, 4 * ThreadPool.width)
      rows = min(max(batch * length / wanted / step, 1) * step, most / 4)
    } else {
      rows = most
    }
    count = (length + rows - 1) / rows
    headsAtOnce = keysFit ? heads : 1
    headGroups = heads / headsAtOnce
  }
}
