import CKernels

/// How the output of a convolution is split by rows and by panels, so that every thread gets some and memory is read
/// least: each piece reads its pixels and its weights.
struct ConvolutionPieces {
  private let rows: Int
  private let panels: Int
  /// Of every piece but the last.
  private let rowSize: Int
  private let panelSize: Int
  /// Less would cost more than waking a thread.
  private let isOne: Bool

  private var rowPieces: Int { (rows + rowSize - 1) / rowSize }
  private var panelPieces: Int { (panels + panelSize - 1) / panelSize }

  init(_ operation: fs_convolution, rows: Int, panels: Int) {
    (self.rows, self.panels) = (rows, panels)
    let inputs = Int(operation.channels * operation.kernel_height * operation.kernel_width)
    isOne = rows * panels * FS_PANEL * inputs <= 200_000 || ThreadPool.threadCount == 1
    guard !isOne else {
      (rowSize, panelSize) = (max(rows, 1), panels)
      return
    }
    let wanted = 4 * ThreadPool.threadCount
    let grain = Int(fs_tile_rows(operation.format))
    let tiles = (rows + grain - 1) / grain
    let cuts = (1...min(wanted, tiles)).map { parts in
      let rowSize = (tiles + parts - 1) / parts * grain
      let rowPieces = (rows + rowSize - 1) / rowSize
      let panelSize = max(1, panels * rowPieces / wanted)
      let panelPieces = (panels + panelSize - 1) / panelSize
      // In floats: the formats make both sides smaller.
      let traffic = rowPieces * panels * FS_PANEL * inputs + panelPieces * rows * Int(operation.channels)
      return (rowSize: rowSize, panelSize: panelSize, count: rowPieces * panelPieces, traffic: traffic)
    }
    // As many pieces as can be had, up to those wanted.
    let best = cuts.min { (-min($0.count, wanted), $0.traffic) < (-min($1.count, wanted), $1.traffic) }!
    (rowSize, panelSize) = (best.rowSize, best.panelSize)
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
    ThreadPool.forEach(rowPieces * panelPieces) { task in
      let (row, panel) = (task % rowPieces * rowSize, task / rowPieces * panelSize)
      compute(row..<min(row + rowSize, rows), panel..<min(panel + panelSize, panels))
    }
  }
}
