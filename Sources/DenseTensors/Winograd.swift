import CKernels

/// Winograd's convolution, where that is the faster one.
enum Winograd {
  /// Whether the layer should be computed so. A matter of one image alone, so that no image depends on its batch.
  static func pays(for operation: fs_convolution) -> Bool {
    guard operation.kernel_height == 3, operation.kernel_width == 3, operation.stride == 1,
      min(operation.channels, operation.outputs) >= 16  // or the transforms of the patches cost more than is saved
    else { return false }
    let cost = withUnsafePointer(to: operation) { fs_winograd_cost($0) }
    let direct = 9 * operation.out_height * operation.out_width
    // Those of int8 always cost less than Winograd's.
    return operation.format != FS_INT8 && cost * fs_direct_products(operation.format) < direct
  }

  /// The bytes of transformed patches kept at a time: they share the third-level cache with the weights.
  private static let patchBytes = 6 << 20
  /// More than those, where they are the patches of fewer tiles than this: transforming the weights again takes longer.
  private static let (mostPatchBytes, enoughTiles) = (24 << 20, 72)
  /// The products of one part at most: more share each transformed weight, but their sums leave the second-level cache.
  private static let mostProducts = 124 * 64
  /// The tiles of one part at least, where there are more: fewer would not pay for transforming the weights again.
  private static let fewestTiles = 12
  /// The tiles whose patches one task transforms, of which parts hold a multiple.
  private static let grain = 4

  /// The tiles of one part, and the parts whose patches are kept at a time.
  private static func plan(_ operation: fs_convolution, tiles: Int, panels: Int) -> (size: Int, parts: Int) {
    let (products, floats) = withUnsafePointer(to: operation) {
      (Int(fs_winograd_products($0)), Int(fs_winograd_patch_count($0, Int64(fewestTiles))) / fewestTiles)
    }
    let tileBytes = MemoryLayout<Float>.stride * floats
    let fitting = max(patchBytes / tileBytes, min(mostPatchBytes / tileBytes, enoughTiles))
    let mostTiles = mostProducts / products
    // Where panels are few, every thread's share comes from parts.
    let wanted = (4 * ThreadPool.width + panels - 1) / panels
    let limit = max(fewestTiles, min(mostTiles, fitting / wanted) / grain * grain)
    let parts = max((tiles + limit - 1) / limit, min(wanted, tiles / fewestTiles), 1)
    let size = ((tiles + parts - 1) / parts + grain - 1) / grain * grain
    return (size, min(max(fitting / size, 1), parts))
  }

  /// The bytes of the patches that are kept at a time, and of what every thread needs.
  static func scratchBytes(_ operation: fs_convolution, images: Int, panels: Int) -> Int {
    withUnsafePointer(to: operation) { operation in
      let tiles = images * Int(fs_winograd_tiles(operation))
      guard tiles > 0 else { return 0 }
      let (size, parts) = plan(operation.pointee, tiles: tiles, panels: panels)
      let largest = Int64(min(size, tiles))
      let floats =
        parts * Int(fs_winograd_patch_count(operation, largest))
        + ThreadPool.width * Int(fs_winograd_scratch_count(operation, largest))
      return floats * MemoryLayout<Float>.stride
    }
  }

  /// Transforms as many patches as fit, then multiplies them by parts and panels, and so on. Every weight is
  /// transformed once per part.
  static func run(_ operation: fs_convolution, images: Int, panels: Int) {
    withUnsafePointer(to: operation) { pointer in
      // The pointer outlives the calls, which only read it.
      nonisolated(unsafe) let pointer = pointer
      let tiles = images * Int(fs_winograd_tiles(pointer))
      guard tiles > 0 else { return }
      /// Little work is done on the spot: waking a thread would cost more.
      func forEach(_ count: Int, _ body: (Int) -> Void) {
        if ActivationArena.isRehearsing { return }
        if tiles * panels * Int(operation.channels) < 1000 {
          for index in 0..<count { body(index) }
        } else {
          ThreadPool.forEach(count, body)
        }
      }
      let (size, parts) = plan(operation, tiles: tiles, panels: panels)
      let patchCount = Int(fs_winograd_patch_count(pointer, Int64(min(size, tiles))))
      let storage = DenseStorage<Float>(count: parts * patchCount)
      withExtendedLifetime(storage) {
        nonisolated(unsafe) let patches = storage.elements.baseAddress!
        for start in stride(from: 0, to: tiles, by: parts * size) {
          let end = min(start + parts * size, tiles)
          /// The tiles of the part that a tile is in, and the part's patches.
          func part(of tile: Int) -> (begin: Int64, end: Int64, patches: UnsafeMutablePointer<Float>) {
            let index = (tile - start) / size
            let begin = start + index * size
            return (Int64(begin), Int64(min(begin + size, end)), patches + index * patchCount)
          }
          forEach((end - start + grain - 1) / grain) { task in
            let (first, part) = (start + task * grain, part(of: start + task * grain))
            fs_winograd_patches(
              pointer, part.begin, part.end, Int64(first), min(Int64(first + grain), part.end), part.patches)
          }
          let partCount = (end - start + size - 1) / size
          forEach(partCount * panels) { task in
            let (part, panel) = (part(of: start + task / panels * size), Int64(task % panels))
            let scratch = threadScratch(Int(fs_winograd_scratch_count(pointer, part.end - part.begin)))
            fs_winograd(pointer, part.begin, part.end, panel, panel + 1, part.patches, scratch)
          }
        }
      }
    }
  }
}
