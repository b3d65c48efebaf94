import CKernels
import Testing

/// The instruction sets that this machine can run.
let instructionSets: [String] = ["portable", "avx2", "avx512"].filter { (name: String) in fs_isa_select(name) }

/// Runs `body` under an instruction set and goes back to the best one.
func withInstructionSet<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
  let best = instructionSets[instructionSets.count - 1]
  precondition(fs_isa_select(name))
  defer { _ = fs_isa_select(best) }
  return try body()
}

/// All tests that choose an instruction set, which is the process's: one after another.
@Suite("Kernels", .serialized)
struct KernelTests {}

/// One convolution with every option, in buffers that end at a guard page.
struct ConvolutionProblem: Sendable, CustomTestStringConvertible {
  var images = 2
  var height = 5
  var width = 7
  var channels = 17
  var outputs = 33
  var kernel = 3
  var stride = 1
  var padding = 1
  var upsampling = 1
  var extraInput = 0
  var hasAddends = true

  var testDescription: String {
    "\(images)x\(height)x\(width)x\(channels) to \(outputs), kernel \(kernel), stride \(stride), padding \(padding), "
      + "upsampling \(upsampling), \(extraInput) more"
  }

  var outHeight: Int { (height * upsampling + 2 * padding - kernel) / stride + 1 }
  var outWidth: Int { (width * upsampling + 2 * padding - kernel) / stride + 1 }
  var rows: Int { images * outHeight * outWidth }
  var inputStride: Int { channels + extraInput }
  var taps: Int { kernel * kernel }

  struct Data {
    let input: [Float]
    let weights: [Float]
    let bias: [Float]
    let imageBias: [Float]
    let residual: [Float]
  }

  var data: Data {
    var numbers = TestNumbers(seed: UInt64(channels * 1000 + outputs))
    return Data(
      // The last pixel's extra channels do not exist.
      input: numbers.array(images * height * width * inputStride - extraInput),
      weights: numbers.array(outputs * channels * taps), bias: numbers.array(outputs),
      imageBias: numbers.array(images * outputs), residual: numbers.array(rows * outputs))
  }

  /// By the definition, in double precision.
  func reference(_ data: Data) -> [Double] {
    var result: [Double] = []
    for row in 0..<rows {
      let (image, y, x) = (row / outWidth / outHeight, row / outWidth % outHeight, row % outWidth)
      for output in 0..<outputs {
        var sum = 0.0
        for ky in 0..<kernel {
          for kx in 0..<kernel {
            let (inY, inX) = (y * stride + ky - padding, x * stride + kx - padding)
            guard (0..<height * upsampling).contains(inY), (0..<width * upsampling).contains(inX) else { continue }
            let pixel = (image * height + inY / upsampling) * width + inX / upsampling
            for channel in 0..<channels {
              sum +=
                Double(data.input[pixel * inputStride + channel])
                * Double(data.weights[(output * channels + channel) * taps + ky * kernel + kx])
            }
          }
        }
        if hasAddends {
          sum +=
            Double(data.bias[output]) + Double(data.imageBias[image * outputs + output])
            + Double(data.residual[row * outputs + output])
        }
        result.append(sum * 0.75)
      }
    }
    return result
  }

  /// By the kernels; `run` gets the operation with packed or transformed weights.
  func result(_ data: Data, isWinograd: Bool = false, run: (fs_convolution) -> Void) -> [Float] {
    let input = GuardedBuffer(data.input)
    let zeros = GuardedBuffer([Float](repeating: 0, count: channels))
    let bias = GuardedBuffer(data.bias)
    let imageBias = GuardedBuffer(data.imageBias)
    let residual = GuardedBuffer(data.residual)
    let output = GuardedBuffer([Float](repeating: .nan, count: rows * outputs))
    let count =
      isWinograd
      ? fs_winograd_weight_count(Int64(outputs), Int64(channels))
      : fs_packed_count(Int64(outputs), Int64(channels * taps))
    let packed = GuardedBuffer([Float](repeating: .nan, count: Int(count)))
    if isWinograd {
      fs_winograd_transform_weights(packed.pointer, data.weights, Int64(outputs), Int64(channels))
    } else {
      for panel in 0..<(outputs + FS_PANEL - 1) / FS_PANEL {
        fs_pack_weights(
          packed.pointer, data.weights, Int64(outputs), Int64(channels), Int64(taps), Int64(panel))
      }
    }
    var operation = fs_convolution()
    operation.input = UnsafePointer(input.pointer)
    operation.input_stride = Int64(inputStride)
    (operation.height, operation.width, operation.channels) = (Int64(height), Int64(width), Int64(channels))
    operation.upsampling = Int64(upsampling)
    (operation.out_height, operation.out_width) = (Int64(outHeight), Int64(outWidth))
    (operation.kernel_height, operation.kernel_width) = (Int64(kernel), Int64(kernel))
    operation.stride = Int64(stride)
    (operation.pad_top, operation.pad_left) = (Int64(padding), Int64(padding))
    operation.zeros = UnsafePointer(zeros.pointer)
    operation.weights = UnsafePointer(packed.pointer)
    operation.outputs = Int64(outputs)
    if hasAddends {
      operation.bias = UnsafePointer(bias.pointer)
      operation.image_bias = UnsafePointer(imageBias.pointer)
      operation.residual = UnsafePointer(residual.pointer)
    }
    operation.scale = 0.75
    operation.output = output.pointer
    run(operation)
    return output.values
  }

  /// The largest difference, relative to the largest value.
  func error(of result: [Float], _ reference: [Double]) -> Double {
    let scale = reference.map(abs).max() ?? 1
    return (zip(result, reference).map { abs(Double($0) - $1) }.max() ?? .infinity) / scale
  }
}

extension KernelTests {
  static let problems: [ConvolutionProblem] =
    [1, 4, 15, 16, 17, 31, 32, 33, 47, 48, 49, 65].map { ConvolutionProblem(outputs: $0) }
    + [1, 2, 3, 15, 16, 31, 48].map { ConvolutionProblem(channels: $0, outputs: 20) }
    + [
      ConvolutionProblem(images: 1, height: 1, width: 1),
      ConvolutionProblem(images: 3, height: 1, width: 13, padding: 1),
      ConvolutionProblem(kernel: 1, padding: 0), ConvolutionProblem(kernel: 1, padding: 0, extraInput: 5),
      ConvolutionProblem(kernel: 1, stride: 2, padding: 0), ConvolutionProblem(kernel: 5, padding: 2),
      ConvolutionProblem(kernel: 7, padding: 3), ConvolutionProblem(stride: 2), ConvolutionProblem(upsampling: 2),
      ConvolutionProblem(images: 3, height: 8, width: 4, hasAddends: false), ConvolutionProblem(extraInput: 3),
    ]

  @Test(arguments: instructionSets, problems)
  func convolution(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.data
      let panels = (problem.outputs + FS_PANEL - 1) / FS_PANEL
      let whole = problem.result(data) { operation in
        withUnsafePointer(to: operation) { fs_convolve($0, 0, Int64(problem.rows), 0, Int64(panels)) }
      }
      // Sums of up to 833 products, each rounded once.
      #expect(problem.error(of: whole, problem.reference(data)) < 1e-6)
      // However the work is cut, the bits are the same: also those of an image alone.
      for size in [1, 5, 12, 13] {
        let pieces = problem.result(data) { operation in
          withUnsafePointer(to: operation) { pointer in
            for row in stride(from: 0, to: problem.rows, by: size) {
              for panel in 0..<panels {
                fs_convolve(pointer, Int64(row), Int64(min(row + size, problem.rows)), Int64(panel), Int64(panel + 1))
              }
            }
          }
        }
        #expect(pieces == whole)
      }
    }
  }

  @Test(
    arguments: instructionSets,
    [1, 4, 16, 17, 33, 48].map { ConvolutionProblem(height: 9, width: 6, channels: 20, outputs: $0) }
      + [
        ConvolutionProblem(height: 8, width: 8, channels: 48, outputs: 64), ConvolutionProblem(channels: 1, outputs: 1),
        ConvolutionProblem(height: 1, width: 1, channels: 16, outputs: 16), ConvolutionProblem(upsampling: 2),
        ConvolutionProblem(images: 3, height: 13, width: 3, channels: 15, outputs: 31, hasAddends: false),
      ])
  func winograd(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.data
      func result(size: Int?) -> [Float] {
        problem.result(data, isWinograd: true) { operation in
          withUnsafePointer(to: operation) { pointer in
            let tiles = problem.images * Int(fs_winograd_tiles(pointer))
            for tile in stride(from: 0, to: tiles, by: size ?? tiles) {
              let end = min(tile + (size ?? tiles), tiles)
              let scratch = GuardedBuffer(
                [Float](repeating: .nan, count: Int(fs_winograd_scratch_count(pointer, Int64(end - tile)))))
              fs_winograd(pointer, Int64(tile), Int64(end), scratch.pointer)
            }
          }
        }
      }
      let whole = result(size: nil)
      // The transforms multiply rounding errors by up to ten; measured on these problems, 4.4e-6 at most.
      #expect(problem.error(of: whole, problem.reference(data)) < 1e-5)
      for size in [1, 5, 12] { #expect(result(size: size) == whole) }
    }
  }
}
