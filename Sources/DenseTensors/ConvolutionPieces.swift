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
  /// Rows of a piece at least: with fewer, weights are loaded for too few products.
  private static let fewestRows = 8
  /// Rows from which on a thread's part is cut for others to take from.
  private static let manyRows = 16

  init(_ operation: fs_convolution, rows: Int, panels: Int) {
    (self.rows, self.panels) = (rows, panels)
    let inputs = Int(operation.channels * operation.kernel_height * operation.kernel_width)
    let threads = ThreadPool.threadCount
    grain = Int(fs_tile_rows(operation.format))
    isOne = rows * panels * FS_PANEL * inputs <= 200_000 || threads == 1
    guard !isOne else {
      (rowPieces, panelPieces) = (1, 1)
      return
    }
    let wanted = 4 * threads
    // In floats: the formats make both sides smaller.
    let weights = panels * FS_PANEL * inputs
    let staysCached = weights * MemoryLayout<Float>.stride <= Self.cachedBytes
    // The same number for each thread, or all threads share the rows.
    // The same number of rows' pieces for each thread, or all threads share the rows.
    var cuts: [(rows: Int, panels: Int, traffic: Int)] = []
    for parts in [1] + (1...4).map({ $0 * threads }) {
      let fewest = parts == 1 ? 0 : max(grain, parts == threads ? Self.fewestRows : Self.manyRows)
      guard rows >= parts * fewest else { continue }
      let panelPieces = staysCached && parts > 1 ? 1 : min((wanted + parts - 1) / parts, panels)
      let traffic = (staysCached ? 1 : parts) * weights + panelPieces * rows * Int(operation.channels)
      cuts.append((parts, panelPieces, traffic))
    }
    // As many pieces as there are threads, of which all then have work; then the least traffic.
    func isEnough(_ cut: (rows: Int, panels: Int, traffic: Int)) -> Bool { cut.rows * cut.panels >= threads }
    let candidates = cuts.contains(where: isEnough) ? cuts.filter(isEnough) : cuts
    let best = candidates.min { ($0.traffic, -$0.rows) < ($1.traffic, -$1.rows) }!
    (rowPieces, panelPieces) = (best.rows, best.panels)
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
