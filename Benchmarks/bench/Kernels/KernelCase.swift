import Fewstep

/// A kernel at the size of a real layer.
struct KernelCase {
  enum Section: String, CaseIterable {
    case products, convolutions, attention, passes

    var title: String {
      switch self {
      case .products: "Linear layers and matrix products: rows x outputs x inputs"
      case .convolutions: "Convolutions of 3x3, as if evaluated directly: Winograd's may pass the peak"
      case .attention: "Attention with 8 heads: queries x keys, width of a head"
      case .passes:
        """
        Passes, against copying an activation of the same size
        Bytes are those that must be read or written once, of a copy as of a pass. A group norm reads its input twice: \
        where no cache holds it, it cannot reach more than 67 %.
        """
      }
    }
  }

  /// What the time is held against.
  enum Work {
    /// Multiplications and additions.
    case operations(Double)
    /// Bytes that must be read or written once, in passes over an activation.
    case bytes(Double, MachinePeaks.Activation)
  }

  let section: Section
  let label: String
  let format: WeightFormat
  let work: Work
  /// The matrix product that does the same multiplications.
  var product: OpenBLASProduct?
  /// Makes the operands, and the job to time.
  let make: () -> Job

  struct Job {
    /// What Winograd's convolution takes beside its operands.
    var scratchBytes: Int?
    let run: () -> Void
  }

  static func all(of section: Section) -> [KernelCase] {
    switch section {
    case .products: products()
    case .convolutions: convolutions()
    case .attention: attention()
    case .passes: passes()
    }
  }

  private static func products() -> [KernelCase] {
    [
      (4096, 320, 320), (4096, 2560, 320), (4096, 320, 1280), (1024, 640, 640), (1024, 640, 2560), (256, 1280, 1280),
      (77, 768, 768), (4096, 4096, 40), (4096, 40, 4096),
    ].flatMap { rows, outputs, inputs in
      WeightFormat.allCases.map { format in
        KernelCase(
          section: .products, label: "\(rows) x \(outputs) x \(inputs)", format: format,
          work: .operations(2 * Double(rows * outputs * inputs)),
          product: OpenBLASProduct(rows: rows, outputs: outputs, inputs: inputs)
        ) {
          let input = noise([rows, inputs])
          let weights = packed(outputs: outputs, channels: inputs, kernel: 1, format: format)
          return Job { _ = input.linear(weights) }
        }
      }
    }
  }

  private static func convolutions() -> [KernelCase] {
    [
      // The UNet of Stable Diffusion 1.
      (1, 64, 320, 320, 1), (2, 64, 320, 320, 1), (1, 64, 640, 320, 1), (1, 32, 640, 640, 1), (2, 32, 640, 640, 1),
      (1, 16, 1280, 1280, 1), (2, 16, 1280, 1280, 1), (1, 16, 2560, 1280, 1), (1, 8, 1280, 1280, 1),
      (2, 8, 1280, 1280, 1), (1, 32, 640, 640, 2), (1, 16, 1280, 1280, 2),
      // Its decoder.
      (1, 64, 512, 512, 1), (1, 128, 256, 256, 1), (1, 256, 128, 128, 1), (1, 64, 512, 512, 2), (1, 128, 256, 256, 2),
      // The bundled model.
      (2, 16, 48, 48, 1), (2, 8, 64, 64, 1), (2, 4, 128, 128, 1), (16, 16, 48, 48, 1), (16, 4, 128, 128, 1),
    ].flatMap { images, side, channels, outputs, upsampling in
      WeightFormat.allCases.map { format in
        let pixels = images * side * side * upsampling * upsampling
        let scale = upsampling > 1 ? " x\(upsampling)" : ""
        return KernelCase(
          section: .convolutions, label: "\(images)x\(side)x\(side)\(scale), \(channels) to \(outputs)", format: format,
          work: .operations(2 * Double(pixels * outputs * channels * 9)),
          product: OpenBLASProduct(rows: pixels, outputs: outputs, inputs: channels * 9)
        ) {
          let input = noise([images, side, side, channels])
          let weights = packed(outputs: outputs, channels: channels, kernel: 3, format: format)
          let geometry = ConvolutionGeometry(padding: .init(1), upsampling: upsampling)
          return Job(scratchBytes: weights.winogradBytes(geometry, on: input.shape)) {
            _ = input.convolved(with: weights, geometry)
          }
        }
      }
    }
  }

  private static func attention() -> [KernelCase] {
    [(4096, 40), (1024, 80), (256, 160)].flatMap { length, dimension in
      [length, 77].flatMap { keys in
        [(WeightFormat.float32, AttentionPrecision.float32), (.bfloat16, .bfloat16)].map { format, precision in
          let width = 8 * dimension
          return KernelCase(
            section: .attention, label: "\(length) x \(keys), \(dimension)", format: format,
            work: .operations(4 * Double(length * keys * width))
          ) {
            let queries = noise([1, length, width])
            let own = KeyValues(noise([keys, 2 * width]), firstRow: 0, length: keys, keyColumn: 0, valueColumn: width)
            return Job {
              _ = DenseTensor.attention(
                queries: queries, keyValues: [own], width: width, heads: 8, precision: precision)
            }
          }
        }
      }
    }
  }

  private static func passes() -> [KernelCase] {
    MachinePeaks.Activation.allCases.flatMap { activation in
      let (shape, channels) = (activation.shape, activation.shape[-1])
      let norm = NormParameters(
        gain: Array(repeating: 1, count: channels), shift: Array(repeating: 0, count: channels), epsilon: 1e-5)
      func pass(
        _ label: String, tensors: Double, inputs: [Shape], _ run: @escaping ([DenseTensor<Float>]) -> Void
      ) -> KernelCase {
        KernelCase(
          section: .passes, label: "\(label), \(activation.rawValue)", format: .float32,
          work: .bytes(tensors * Double(activation.bytes), activation)
        ) {
          let inputs = inputs.map(noise)
          return Job { run(inputs) }
        }
      }
      return [
        pass("group norm", tensors: 2, inputs: [shape]) { _ = $0[0].groupNormalized(norm, groups: 32) },
        pass("group norm and SiLU", tensors: 2, inputs: [shape]) {
          _ = $0[0].groupNormalized(norm, groups: 32, silu: true)
        },
        pass("layer norm", tensors: 2, inputs: [shape]) { _ = $0[0].layerNormalized(norm) },
        pass("SiLU", tensors: 2, inputs: [shape]) { _ = $0[0].activated(.silu) },
        pass("GELU", tensors: 2, inputs: [shape]) { _ = $0[0].activated(.gelu) },
        pass("gated GELU", tensors: 3, inputs: [Shape(Array(shape.dimensions.dropLast()) + [2 * channels])]) {
          _ = $0[0].gatedGELU()
        },
        pass("sum of two", tensors: 3, inputs: [shape, shape]) { _ = $0[0].adding($0[1]) },
        pass("concatenation", tensors: 4, inputs: [shape, shape]) { _ = $0[0].concatenatingChannels($0[1]) },
      ]
    }
  }

  private static func packed(outputs: Int, channels: Int, kernel: Int, format: WeightFormat) -> PackedWeights {
    PackedWeights(
      noise([outputs * channels * kernel * kernel]).elements, outputs: outputs, channels: channels,
      kernel: (kernel, kernel), bias: nil, format: format)
  }

  static func noise(_ shape: Shape) -> DenseTensor<Float> {
    DenseTensor(noise: NoiseField(seed: Workbench.seed), shape: shape)
  }
}
