import Tensors

/// A batch in parts, each of which a thread of its own takes through a network from the first layer to the last.
///
/// Threads that share every layer wait for each other after each, and read what others have written, which takes long
/// where their cores share no cache. Parts do neither, but each reads all weights. An image has the same bits either
/// way.
public enum BatchParts {
  /// Whether the calling code is such a part, and keeps to its thread.
  @TaskLocal static var isPart = false
  @TaskLocal private static var isOff = false

  /// Beyond this, weights leave the caches from part to part.
  private static let mostWeightBytes = 64 << 20

  /// The parts in which a batch is best evaluated; one where threads had better share the layers.
  ///
  /// - Parameter weightBytes: of the network.
  public static func ranges(of count: Int, weightBytes: Int) -> [Range<Int>] {
    let threads = ThreadPool.width
    let most = (count + threads - 1) / threads
    // Threads with fewer images than others would be idle for an eighth of the time at most.
    guard !isOff, !LayerComparison.isObserving, threads > 1, count >= threads, 8 * count >= 7 * threads * most,
      weightBytes <= mostWeightBytes
    else { return [0..<count] }
    return (0..<threads).map { count * $0 / threads..<count * ($0 + 1) / threads }
  }

  /// Runs `body`, in which batches stay whole, so that layers can be looked at one by one.
  public static func sharingLayers<Result>(_ body: () throws -> Result) rethrows -> Result {
    try $isOff.withValue(true, operation: body)
  }

  /// As many images as are best given at once to a network that could take them one by one: more take more memory.
  public static func size(weightBytes: Int) -> Int {
    ranges(of: ThreadPool.width, weightBytes: weightBytes).count
  }

  /// What `body` makes of the parts of a batch, each given with its place in it, as one tensor of the given shape.
  ///
  /// - Precondition: `body` gives as many elements of the outermost dimension as it gets.
  public static func evaluate(
    _ batch: DenseTensor<Float>, in parts: [Range<Int>], to shape: Shape,
    _ body: (DenseTensor<Float>, Range<Int>) -> DenseTensor<Float>
  ) -> DenseTensor<Float> {
    if parts.count == 1 { return body(batch, parts[0]) }
    let result = DenseTensor<Float>(uninitialized: shape)
    let inner = shape.count / max(shape[0], 1)
    // Every part writes elements of its own.
    nonisolated(unsafe) let target = result.storage.elements.baseAddress!
    withExtendedLifetime(result) {
      ActivationArena.runParts(parts.count) { index in
        let range = parts[index]
        let part = body(batch[outer: range], range)
        precondition(part.shape.count == range.count * inner, "\(part.shape) for \(range) of \(shape)")
        if ActivationArena.isRehearsing { return }
        withExtendedLifetime(part) {
          (target + range.lowerBound * inner).update(
            from: part.storage.elements.baseAddress!, count: part.shape.count)
        }
      }
    }
    return result
  }
}
