import COpenBLAS
import Fewstep

/// OpenBLAS's product of the matrices of a layer, split over the same threads.
///
/// A convolution's gathered rows are given to it for nothing.
struct OpenBLASProduct {
  let rows: Int
  let outputs: Int
  let inputs: Int

  func make() -> () -> Void {
    let (rows, outputs, inputs) = (rows, outputs, inputs)
    let (left, right) = (KernelCase.noise([rows, inputs]), KernelCase.noise([outputs, inputs]))
    // Made once: clearing fresh memory is no part of a product.
    var result = DenseTensor<Float>(zeros: [rows, outputs])
    return {
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
}
