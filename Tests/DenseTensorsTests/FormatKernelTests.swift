import CKernels
import DenseTensors
import Tensors
import Testing

/// Convolutions with weights of fewer bits: exactly what their formats say, and near the definition.
extension KernelTests {
  static let formatProblems: [ConvolutionProblem] =
    geometries.enumerated().filter { $0.offset % 3 == 0 }.map(\.element) + widths + others
    + [
      // Several blocks of widened weights, whole taps and parts of one.
      ConvolutionProblem(images: 1, height: 2, width: 3, channels: 257, outputs: 50),
      ConvolutionProblem(images: 1, height: 3, width: 3, channels: 127, outputs: 16),
      ConvolutionProblem(images: 1, height: 3, width: 3, channels: 43, outputs: 17),
      ConvolutionProblem(
        images: 1, height: 1, width: 99, channels: 384, outputs: 37, kernel: (1, 1), padding: .init(0)),
      // More rows, taps and channels than a chunk of tiles has at once.
      ConvolutionProblem(images: 2, height: 11, width: 13, channels: 331, outputs: 50),
      ConvolutionProblem(
        images: 1, height: 1, width: 41, channels: 2700, outputs: 33, kernel: (1, 1), padding: .init(0)),
      // Rows of whole tiles, which are read from pictures with margins.
      ConvolutionProblem(images: 2, height: 3, width: 16, channels: 192, outputs: 40),
      ConvolutionProblem(images: 1, height: 4, width: 48, channels: 64, outputs: 17),
      ConvolutionProblem(images: 2, height: 5, width: 32, channels: 192, outputs: 16, stride: 2),
      ConvolutionProblem(
        images: 1, height: 4, width: 31, channels: 256, outputs: 33, stride: 2, padding: .init(bottom: 1, right: 2)),
      ConvolutionProblem(
        images: 1, height: 3, width: 16, channels: 192, outputs: 32, kernel: (5, 3),
        padding: .init(top: 2, left: 1, bottom: 2, right: 1)),
      ConvolutionProblem(images: 1, height: 2, width: 16, channels: 1024, outputs: 33),
    ]

  @Test(arguments: instructionSets, formatProblems) func float16Weights(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.makeData()
      let whole = checkCuts(problem.stored(as: FS_FLOAT16), .direct, data)
      // The same sums as those of float weights that are halves.
      #expect(whole == problem.result(data.rounded(weights: toHalf), .direct))
    }
  }

  @Test(arguments: instructionSets, formatProblems) func bfloat16Weights(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.makeData()
      let whole = checkCuts(problem.stored(as: FS_BFLOAT16), .direct, data)
      if !fs_rounds_inputs() {
        let rounded = data.rounded(weights: toBFloat16)
        #expect(problem.error(of: whole, .direct, problem.reference(rounded)) < 1)
        // Floats to few outputs have a kernel of their own.
        if problem.outputs > 4 || problem.taps == 1 { #expect(whole == problem.result(rounded, .direct)) }
      } else {
        let rounded = data.rounded(weights: toBFloat16, input: toBFloat16)
        #expect(problem.error(of: whole, .direct, problem.reference(rounded)) < 1)
      }
      // Two roundings of 2^-9 in every product, in the mean, which add up at random.
      for (found, expected) in zip(whole, problem.reference(data)) {
        #expect(abs(Double(found) - expected.sum) <= 4 * 0x1p-9 * (2 * expected.squares).squareRoot())
      }
    }
  }

  @Test(arguments: instructionSets, formatProblems) func int8Weights(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.makeData()
      let whole = checkCuts(problem.stored(as: FS_INT8), .direct, data)
      #expect(whole == problem.int8Definition(data))
      // No weight is off by more than half a step, 1 / 254, no input by more than a step of 2 / 255 (its own rounding
      // and the zero point's); those add up at random.
      for (found, expected) in zip(whole, problem.reference(data)) {
        let step = Double(abs(problem.scale)) * (1.0 / 254 + 2.0 / 255)
        #expect(abs(Double(found) - expected.sum) <= 4 * step * expected.terms.squareRoot())
      }
    }
  }

  /// Where a kernel reads floats, pixels that were converted before give the same bits.
  @Test(arguments: instructionSets, [FS_BFLOAT16, FS_INT8])
  func pixelsConvertedAhead(_ set: String, _ format: fs_format) {
    withInstructionSet(set) {
      for (rows, channels) in [(99, 384), (64, 2688), (41, 331), (7, 64)] {
        var problem = ConvolutionProblem(
          images: 1, height: 1, width: rows, channels: channels, outputs: 50, kernel: (1, 1), padding: .init(0)
        ).stored(as: format)
        let data = problem.makeData()
        let whole = problem.result(data, .direct)
        problem.convertsAhead = true
        #expect(checkCuts(problem, .direct, data) == whole)
      }
    }
  }

  /// Pixels and weights that have no range, are far from 0, or are not finite.
  @Test(arguments: instructionSets) func int8OfAwkwardNumbers(_ set: String) {
    withInstructionSet(set) {
      var problem = ConvolutionProblem(
        images: 1, height: 1, width: 9, channels: 5, outputs: 3, kernel: (1, 1), padding: .init(0), addends: [])
      problem.scale = 1
      var data = problem.makeData()
      let pixels: [[Float]] = [
        [0, 0, 0, 0, 0], [7, 7, 7, 7, 7], [-1e4, -2e4, -3e4, -1, -2], [1e30, 1e29, 0, -1e30, 2],
        [0x1p-140, 0, 0, 0, 0],
        [1, 2, .nan, 4, 5], [1, 2, 3, 4, .infinity], [-.infinity, 0, 0, 0, 0], [255, 254, 0, 1, 128],
      ]
      data.input = pixels.flatMap { $0 }
      let weights: [[Float]] = [[1, -127, 64, 0, 2], [0, 0, 0, 0, 0], [1, 1, .infinity, 1, 1]]
      let result = problem.stored(as: FS_INT8).result(data.with(weights: weights.flatMap { $0 }), .direct)
      for (index, value) in result.enumerated() {
        let (pixel, weight) = (pixels[index / 3], weights[index % 3])
        let isFinite = pixel.allSatisfy(\.isFinite) && weight.allSatisfy(\.isFinite)
        #expect(value.isNaN == !isFinite)
        guard isFinite else { continue }
        let expected = zip(pixel, weight).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        let range = max(0, pixel.max()!) - min(0, pixel.min()!)
        let size = Double(weight.map(abs).reduce(0, +))
        #expect(abs(Double(value) - expected) <= Double(range) / 255 * size + 1e-30)
      }
      // Levels that are integers are exact.
      #expect(result[8 * 3] == 255 - 254 * 127 + 256)
    }
  }

  @Test(arguments: instructionSets) func bfloat16OfAwkwardNumbers(_ set: String) {
    withInstructionSet(set) {
      let problem = ConvolutionProblem(
        images: 1, height: 1, width: 5, channels: 3, outputs: 1, kernel: (1, 1), padding: .init(0), addends: [],
        scale: 1
      ).stored(as: FS_BFLOAT16)
      var data = problem.makeData().with(weights: [1, 1, 0])
      // 1 + 2^-8 lies between two bfloat16s and goes to the even one, 1; as does 1 + 3 x 2^-8 upwards.
      data.input = [1, 2, 3, .nan, 1, 0, .infinity, 1, 1, 0, 1.00390625, 0, 0, 1.01171875, 0]
      let result = problem.result(data, .direct)
      let isRounding = fs_rounds_inputs()
      #expect(result[0] == 3 && result[1].isNaN && !result[2].isFinite)
      #expect(result[3] == (isRounding ? 1 : 1.00390625) && result[4] == (isRounding ? 1.015625 : 1.01171875))
      let rounded = problem.result(data.with(weights: [1.00390625, 1.01171875, .nan]), .direct)
      #expect(rounded.filter(\.isNaN).count == 5)
      data.input = [1, 0, 0, 0, 1, 0, 1, 1, 0, 2, 2, 0, 0, 0, 0]
      #expect(
        problem.result(data.with(weights: [1.00390625, 1.01171875, 0]), .direct) == [1, 1.015625, 2.015625, 4.03125, 0])
    }
  }
}

private func toHalf(_ value: Float) -> Float {
  var (value, half) = (value, UInt16(0))
  fs_float_to_half(&half, &value, 1)
  fs_half_to_float(&value, &half, 1)
  return value
}

/// To nearest, ties to even, of finite numbers.
private func toBFloat16(_ value: Float) -> Float {
  let unit = Float(sign: .plus, exponent: value.exponent - 7, significand: 1)
  return value == 0 ? 0 : (value / unit).rounded(.toNearestOrEven) * unit
}

extension ConvolutionProblem.Data {
  func with(weights: [Float]) -> Self {
    Self(input: input, weights: weights, bias: bias, imageBias: imageBias, residual: residual)
  }

  fileprivate func rounded(weights round: (Float) -> Float, input roundInput: (Float) -> Float = { $0 }) -> Self {
    var rounded = with(weights: weights.map(round))
    rounded.input = input.map { $0.isNaN ? $0 : roundInput($0) }
    return rounded
  }
}

extension ConvolutionProblem {
  /// The same with weights in another format.
  func stored(as format: fs_format) -> Self {
    var problem = self
    problem.format = format
    return problem
  }

  /// A pixel of int8 levels.
  private struct Int8Pixel {
    var levels: [Int32]
    var step: Float
    var zero: Int32

    init(_ values: some Collection<Float>) {
      let (low, high) = (min(0, values.min()!), max(0, values.max()!))
      let (range, inverse) = (high - low, 255 / (high - low))
      step = range / 255
      let zero = (-low * inverse).rounded(.toNearestOrEven)
      self.zero = Int32(zero)
      levels = values.map { Int32(min(255, max(0, ($0 * inverse).rounded(.toNearestOrEven) + zero))) }
    }
  }

  /// What int8 weights are said to give: exact sums of integers for each tap, the rest in floats, each step rounded.
  fileprivate func int8Definition(_ data: Data) -> [Float] {
    let pixels = (0..<images * height * width).map { pixel in
      Int8Pixel(data.input[pixel * inputStride..<pixel * inputStride + channels])
    }
    let largest = (0..<outputs).map { output in
      data.weights[output * channels * taps..<(output + 1) * channels * taps].map(abs).max()!
    }
    let levels = data.weights.enumerated().map { index, weight in
      Int32((weight * (127 / largest[index / (channels * taps)])).rounded(.toNearestOrEven))
    }
    var result: [Float] = []
    for row in 0..<rows {
      let (image, y, x) = (row / self.pixels, row % self.pixels / outWidth, row % outWidth)
      for output in 0..<outputs {
        var sum: Float = 0
        for tap in 0..<taps {
          let (ky, kx) = (tap / kernel.width, tap % kernel.width)
          let (inY, inX) = (y * stride + ky - padding.top, x * stride + kx - padding.left)
          guard (0..<height * upsampling).contains(inY), (0..<width * upsampling).contains(inX) else { continue }
          let pixel = pixels[(image * height + inY / upsampling) * width + inX / upsampling]
          var integers: Int32 = 0
          for channel in 0..<channels {
            integers += (pixel.levels[channel] - pixel.zero) * levels[(output * channels + channel) * taps + tap]
          }
          sum += Float(integers) * pixel.step
        }
        sum *= largest[output] / 127
        if addends.contains(.bias) { sum += data.bias[output] }
        if addends.contains(.imageBias) { sum += data.imageBias[image * outputs + output] }
        if addends.contains(.residual) { sum += data.residual[row * outputs + output] }
        result.append(sum * scale)
      }
    }
    return result
  }
}
