import COpenBLAS
import Fewstep

/// Fewstep's convolution against OpenBLAS on the layers of the bundled model and of Stable Diffusion 1.
///
/// OpenBLAS is given the gathered rows for nothing: its figure is the matrix product alone, split over the same
/// threads.
struct KernelTable {
  struct Layer: Sendable {
    let label: String
    let images: Int
    let side: Int
    let channels: Int
    let outputs: Int
    let kernel: Int
  }

  static let layers = [
    Layer(label: "3x3, 48 to 48 at 16x16", images: 2, side: 16, channels: 48, outputs: 48, kernel: 3),
    Layer(label: "3x3, 64 to 64 at 8x8", images: 2, side: 8, channels: 64, outputs: 64, kernel: 3),
    Layer(label: "3x3, 128 to 128 at 4x4", images: 2, side: 4, channels: 128, outputs: 128, kernel: 3),
    Layer(label: "1x1, 64 to 512 at 8x8", images: 2, side: 8, channels: 64, outputs: 512, kernel: 1),
    Layer(label: "3x3, 48 to 48 at 16x16", images: 16, side: 16, channels: 48, outputs: 48, kernel: 3),
    Layer(label: "3x3, 128 to 128 at 4x4", images: 16, side: 4, channels: 128, outputs: 128, kernel: 3),
    Layer(label: "3x3, 320 to 320 at 64x64", images: 1, side: 64, channels: 320, outputs: 320, kernel: 3),
    Layer(label: "3x3, 1280 to 1280 at 16x16", images: 1, side: 16, channels: 1280, outputs: 1280, kernel: 3),
    Layer(label: "1x1, 320 to 2560 at 64x64", images: 1, side: 64, channels: 320, outputs: 2560, kernel: 1),
  ]

  struct Result: Encodable {
    let layer: String
    let images: Int
    let gigaflops: Double
    let openBLASGigaflops: Double
  }

  func measure() async -> [Result] {
    print("Convolution, GFLOP/s on \(ThreadPool.threadCount) threads")
    let table = TablePrinter(columns: [("layer", 28), ("images", 7), ("Fewstep", 8), ("OpenBLAS product", 17)])
    table.printHeading()
    var results: [Result] = []
    for layer in Self.layers {
      let flops =
        2 * Double(layer.images * layer.side * layer.side * layer.outputs)
        * Double(layer.channels * layer.kernel * layer.kernel)
      let runs = max(5, min(201, Int(4e9 / flops))) | 1
      let own = await Workbench.medianMilliseconds(of: runs, convolution(layer))
      let other = await Workbench.medianMilliseconds(of: runs, product(layer))
      let result = Result(
        layer: layer.label, images: layer.images, gigaflops: flops / own / 1e6, openBLASGigaflops: flops / other / 1e6)
      results.append(result)
      table.printRow([
        result.layer, "\(result.images)", decimal(result.gigaflops, 0), decimal(result.openBLASGigaflops, 0),
      ])
    }
    print("")
    return results
  }

  private func convolution(_ layer: Layer) -> () -> Void {
    let input = noise([layer.images, layer.side, layer.side, layer.channels])
    let taps = layer.kernel * layer.kernel
    let weights = PackedWeights(
      noise([layer.outputs * layer.channels * taps]).elements, outputs: layer.outputs, channels: layer.channels,
      kernel: (layer.kernel, layer.kernel), bias: nil)
    return { _ = input.convolved(with: weights, .init(padding: .init(layer.kernel / 2))) }
  }

  private func product(_ layer: Layer) -> () -> Void {
    let (rows, outputs) = (layer.images * layer.side * layer.side, layer.outputs)
    let inputs = layer.channels * layer.kernel * layer.kernel
    let (left, right) = (noise([rows, inputs]), noise([outputs, inputs]))
    return {
      var result = DenseTensor<Float>(zeros: [rows, outputs])
      result.withUnsafeMutableBufferPointer { result in
        nonisolated(unsafe) let target = result.baseAddress!
        left.withUnsafeBufferPointer { left in
          right.withUnsafeBufferPointer { right in
            ThreadPool.forEachRange(rows, grain: 12) { range in
              cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, Int32(range.count), Int32(outputs), Int32(inputs), 1,
                left.baseAddress! + range.lowerBound * inputs, Int32(inputs), right.baseAddress, Int32(inputs), 0,
                target + range.lowerBound * outputs, Int32(outputs))
            }
          }
        }
      }
    }
  }

  private func noise(_ shape: Shape) -> DenseTensor<Float> {
    DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: shape)
  }
}
