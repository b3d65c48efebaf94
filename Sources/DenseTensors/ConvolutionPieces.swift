import CKernels

/// How the output of a convolution is split by rows and by panels, so that every thread gets as much and memory is read
/// least: each piece reads its pixels and its weights.
struct ConvolutionPieces {
  private let rows: Int
  private let panels: Int
  /// Rows are cut at multiples of this.
  private let grain: Int
  private let rowPieces: Int
  private let panelPieces: Int
  /// Less would cost more than waking a thread.
  private let isOne: Bool

  /// The bytes of weights that a thread keeps in its second-level cache from piece to piece.
  private static let cachedBytes = 512 << 10
  /// Rows of a piece at least: with fewer, weights are loaded for too few products. Where there are more pieces than
  /// threads, more.
  private static let (fewestRows, manyRows) = (8, 16)

  init(_ operation: fs_convolution, rows: Int, panels: Int) {
    (self.rows, self.panels) = (rows, panels)
    let inputs = Int(operation.channels * operation.kernel_height * operation.kernel_width)
    let threads = ThreadPool.width
    grain = Int(fs_tile_rows(operation.format, operation.channels))
    isOne = rows * panels * FS_PANEL * inputs <= 200_000 || threads == 1
    guard !isOne else {
      (rowPieces, panelPieces) = (1, 1)
      return
    }
    // In floats: the formats make both sides smaller.
    let weights = panels * FS_PANEL * inputs
    let staysCached = weights * MemoryLayout<Float>.stride <= Self.cachedBytes
    let wanted = 4 * threads
    var best = (rowPieces: 1, panelPieces: 1, cost: Int.max)
    for rowPieces in 1...wanted {
      let fewest = rowPieces <= threads ? Self.fewestRows : Self.manyRows
      guard rowPieces == 1 || rows >= rowPieces * max(fewest, grain) else { break }
      let most = staysCached && rowPieces >= threads ? 1 : min((wanted + rowPieces - 1) / rowPieces, panels)
      let panelSize = (panels + most - 1) / most
      let panelPieces = (panels + panelSize - 1) / panelSize
      let share = (rowPieces * panelPieces + threads - 1) / threads
      // A thread's cycles: products of its pieces, 16 at a time, and what all read beyond the cache, 8 floats at a time.
      let products = share * ((rows + rowPieces - 1) / rowPieces) * panelSize * FS_PANEL * inputs
      let traffic = (staysCached ? 1 : rowPieces) * weights + panelPieces * rows * Int(operation.channels)
      let cost = products / 16 + traffic / (8 * threads)
      // Of equal cuts the finest, of which a thread that is done can take from another.
      if cost <= best.cost { best = (rowPieces, panelPieces, cost) }
    }
    (rowPieces, panelPieces) = (best.rowPieces, best.panelPieces)
  }

  /// The input of floats as pixels, if the kernels do not read floats, or if several pieces would convert them.
  func convertedInput(
    of operation: fs_convolution, weights: PackedWeights, pictures: Int
  ) -> (pixels: DenseStorage<Float>, layout: PixelLayout)? {
    let taps = operation.kernel_height * operation.kernel_width
    let readsFloats = fs_reads_floats(operation.format, operation.channels, taps)
    guard rows > 0, !readsFloats || panelPieces > 1,
      let layout = PixelLayout(operation, of: weights, pictures: pictures)
    else { return nil }
    let count = pictures * Int(operation.height * operation.width)
    // Every task reads and writes pixels of its own.
    nonisolated(unsafe) let input = operation.input!
    let pixels = layout.fill { writer in
      ThreadPool.forEachRange(count, grain: 1 + 16384 / Int(operation.channels)) { writer.convert($0, from: input) }
    }
    return (pixels, layout)
  }

  /// Computes all pieces, on all threads.
  func compute(_ operation: fs_convolution) {
    if ActivationArena.isRehearsing { return }
    let compute = { (rows: Range<Int>, panels: Range<Int>) in
      withUnsafePointer(to: operation) {
        fs_convolve(
          $0, Int64(rows.lowerBound), Int64(rows.upperBound), Int64(panels.lowerBound), Int64(panels.upperBound))
      }
    }
    if isOne { return compute(0..<rows, 0..<panels) }
    func part(_ index: Int, of count: Int, _ size: Int, grain: Int = 1) -> Range<Int> {
      let grains = (size + grain - 1) / grain
      return min(grains * index / count * grain, size)..<min(grains * (index + 1) / count * grain, size)
    }
    // By rows, so that a thread has the same part of the picture from layer to layer.
    ThreadPool.forEach(rowPieces * panelPieces) { task in
      let (row, panel) = task.quotientAndRemainder(dividingBy: panelPieces)
      compute(part(row, of: rowPieces, rows, grain: grain), part(panel, of: panelPieces, panels))
    }
  }
}
