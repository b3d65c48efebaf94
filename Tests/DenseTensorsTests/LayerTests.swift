import CKernels
import DenseTensors
import Tensors
import Testing

/// The layers, whose work is cut by threads, against their kernels, called once: the cuts change no bit.
extension KernelTests {
  static let layers: [ConvolutionProblem] = [
    ConvolutionProblem(images: 1, height: 1, width: 1, channels: 3, outputs: 5),
    // Few rows and many panels, and the opposite.
    ConvolutionProblem(images: 1, height: 3, width: 2, channels: 64, outputs: 450),
    ConvolutionProblem(images: 3, height: 31, width: 29, channels: 11, outputs: 17),
    ConvolutionProblem(channels: 129, outputs: 257, stride: 2, padding: .init(bottom: 1, right: 1)),
    ConvolutionProblem(height: 13, width: 12, channels: 40, outputs: 36, upsampling: 2, addends: [], scale: 1),
    ConvolutionProblem(height: 8, width: 9, channels: 16, outputs: 16, addends: .bias),
    ConvolutionProblem(images: 3, height: 17, width: 19, channels: 24, outputs: 70),
    ConvolutionProblem(height: 9, width: 9, channels: 31, outputs: 95, kernel: (1, 1), padding: .init(0)),
    ConvolutionProblem(images: 1, height: 12, width: 12, channels: 8, outputs: 8, kernel: (7, 7), padding: .init(3)),
  ]

  @Test(arguments: layers) func convolutionLayer(_ problem: ConvolutionProblem) {
    let data = problem.makeData()
    let result = layer(problem, data, .float32)
    // Which algorithm a layer chooses is its own affair; the result is one or the other's.
    let direct = problem.result(data, .direct)
    #expect(problem.error(of: result, .winograd, problem.reference(data)) < 4)
    guard result != direct else { return }
    #expect(problem.kernel == (3, 3) && problem.stride == 1)
    #expect(result == problem.result(data, .winograd))
  }

  /// More patches than are kept at a time, of one image, of several and of none.
  @Test(arguments: [0, 1, 3]) func convolutionInSeveralPasses(images: Int) {
    let problem = ConvolutionProblem(images: images, height: 27, width: 26, channels: 1200, outputs: 40)
    let data = problem.makeData()
    let result = layer(problem, data, .float32)
    #expect(result == problem.result(data, .winograd))
    let size = problem.pixels * problem.outputs
    for image in 0..<images {
      let (single, own) = problem.alone(image, of: data)
      #expect(layer(single, own, .float32) == Array(result[image * size..<(image + 1) * size]))
    }
  }

  @Test(arguments: instructionSets, layers)
  func convolutionLayerOfFewerBits(_ set: String, _ problem: ConvolutionProblem) {
    withInstructionSet(set) {
      let data = problem.makeData()
      for (format, stored) in [(WeightFormat.float16, FS_FLOAT16), (.bfloat16, FS_BFLOAT16), (.int8, FS_INT8)] {
        let (result, problem) = (layer(problem, data, format), problem.stored(as: stored))
        guard result != problem.result(data, .direct) else { continue }
        #expect(format != .int8 && problem.kernel == (3, 3) && problem.stride == 1)
        #expect(result == problem.result(data, .winograd))
      }
    }
  }

  @Test(arguments: WeightFormat.allCases) func nothingIntoLayers(_ format: WeightFormat) {
    let weights = PackedWeights([1, 2], outputs: 1, channels: 2, bias: nil, format: format)
    #expect(DenseTensor([], shape: [0, 2]).linear(weights).shape == [0, 1])
  }

  /// The result of the layer that a problem describes.
  private func layer(
    _ problem: ConvolutionProblem, _ data: ConvolutionProblem.Data, _ format: WeightFormat
  ) -> [Float] {
    let weights = PackedWeights(
      data.weights, outputs: problem.outputs, channels: problem.channels, kernel: problem.kernel,
      bias: problem.addends.contains(.bias) ? data.bias : nil, format: format)
    let input = DenseTensor(data.input, shape: [problem.images, problem.height, problem.width, problem.channels])
    let outShape: Shape = [problem.images, problem.outHeight, problem.outWidth, problem.outputs]
    let result = input.convolved(
      with: weights, .init(stride: problem.stride, padding: problem.padding, upsampling: problem.upsampling),
      imageBias: problem.addends.contains(.imageBias)
        ? DenseTensor(data.imageBias, shape: [problem.images, problem.outputs]) : nil,
      residual: problem.addends.contains(.residual) ? DenseTensor(data.residual, shape: outShape) : nil,
      scale: problem.scale)
    #expect(result.shape == outShape)
    return result.elements
  }

  @Test(arguments: [0, 1, 13, 200]) func linearLayer(_ rows: Int) {
    var numbers = TestNumbers(seed: 2)
    let (weights, bias) = (numbers.array(70 * 45), numbers.array(70))
    let input = DenseTensor(numbers.array(2 * rows * 45), shape: [2, rows, 45])
    let residual = DenseTensor(numbers.array(2 * rows * 70), shape: [2, rows, 70])
    let packed = PackedWeights(weights, outputs: 70, channels: 45, bias: bias)
    let (plain, added) = (input.linear(packed), input.linear(packed, residual: residual))
    #expect(plain.shape == [2, rows, 70] && added.shape == plain.shape)
    let (inputs, residuals) = (input.elements, residual.elements)
    for (index, (found, sum)) in zip(plain.elements, added.elements).enumerated() {
      let (row, output) = (index / 70, index % 70)
      var expected = ConvolutionProblem.Expected()
      expected.add(Double(bias[output]))
      for channel in 0..<45 {
        expected.add(Double(inputs[row * 45 + channel]) * Double(weights[output * 45 + channel]))
      }
      #expect(abs(Double(found) - expected.sum) <= expected.rounding)
      expected.add(Double(residuals[index]))
      #expect(abs(Double(sum) - expected.sum) <= expected.rounding)
    }
  }

  @Test(arguments: [1, 17, 4096, 4097, 50_021]) func elementwiseLayers(_ count: Int) {
    var numbers = TestNumbers(seed: UInt64(count))
    let (left, right) = (numbers.array(count).map { $0 * 5 }, numbers.array(count))
    let (x, y) = (DenseTensor(left, shape: [count]), DenseTensor(right, shape: [count]))
    var expected = [Float](repeating: .nan, count: count)
    for activation in Activation.allCases {
      let kind: fs_activation =
        switch activation {
        case .silu: FS_SILU
        case .gelu: FS_GELU
        case .quickGELU: FS_QUICK_GELU
        case .relu: FS_RELU
        case .mish: FS_MISH
        }
      fs_activate(&expected, left, Int64(count), kind)
      #expect(x.activated(activation).elements == expected)
    }
    fs_add(&expected, left, right, Int64(count), 0.7)
    #expect(x.adding(y, scale: 0.7).elements == expected)
    #expect(x.adding(y).elements == zip(left, right).map { $0 + $1 })
    #expect(x.affine(scale: 3, shift: -0.25).elements == left.map { $0 * 3 - 0.25 })
    #expect(x == DenseTensor(left, shape: [count]))
    for channels in [1, 5, 17] where count >= 2 * channels {
      let rows = count / (2 * channels)
      let gated = DenseTensor(left.prefix(rows * 2 * channels), shape: [rows, 2 * channels]).gatedGELU()
      var expected = [Float](repeating: .nan, count: rows * channels)
      fs_geglu(&expected, left, Int64(rows), Int64(channels))
      #expect(gated.shape == [rows, channels] && gated.elements == expected)
    }
  }

  /// In the same bits as the layer and the gates one after the other.
  @Test(arguments: WeightFormat.allCases, [(1, 1, 32), (13, 40, 96), (100, 33, 64), (500, 64, 320), (40, 2600, 32)])
  func gatedLayer(_ format: WeightFormat, _ sizes: (rows: Int, channels: Int, outputs: Int)) {
    let (rows, channels, outputs) = sizes
    var numbers = TestNumbers(seed: UInt64(rows))
    let input = DenseTensor(numbers.array(rows * channels), shape: [rows, channels])
    let matrix = numbers.array(outputs * channels)
    for bias in [nil, numbers.array(outputs)] {
      func layer(gated: Bool) -> PackedWeights {
        PackedWeights(matrix, outputs: outputs, channels: channels, bias: bias, format: format, gated: gated)
      }
      let fused = input.linear(layer(gated: true))
      let separate = input.linear(layer(gated: false)).gatedGELU()
      #expect(fused.shape == [rows, outputs / 2] && fused.elements == separate.elements)
    }
  }

  @Test func activationsHaveConfigurationNames() {
    for activation in Activation.allCases { #expect(Activation(name: activation.rawValue) == activation) }
    #expect(Activation(name: "swish") == .silu && Activation(name: "quick_gelu") == .quickGELU)
    #expect(Activation(name: "SiLU") == nil && Activation(name: "") == nil)
  }

  @Test(arguments: [(1, 3), (7, 320), (300, 33), (2000, 16)]) func layerNormLayer(_ rows: Int, _ channels: Int) {
    var numbers = TestNumbers(seed: UInt64(rows))
    let (input, gain, shift) = (numbers.array(rows * channels), numbers.array(channels), numbers.array(channels))
    let norm = NormParameters(gain: gain, shift: shift, epsilon: 1e-5)
    #expect(norm.channels == channels)
    var expected = [Float](repeating: .nan, count: rows * channels)
    fs_layer_norm(&expected, input, gain, shift, Int64(rows), Int64(channels), 1e-5)
    #expect(DenseTensor(input, shape: [1, rows, channels]).layerNormalized(norm).elements == expected)
  }
}
