import CKernels
import DenseTensors
import Testing

/// The mean square of the errors, relative to that of the outputs.
func meanSquareError(of result: [Float], _ reference: [Double]) -> Double {
  let errors = zip(result, reference).map { Double($0) - $1 }
  return errors.reduce(0) { $0 + $1 * $1 } / reference.reduce(0) { $0 + $1 * $1 }
}

/// One convolution with every option, its data and its definition.
struct ConvolutionProblem: Sendable, CustomTestStringConvertible {
  struct Addends: OptionSet {
    let rawValue: Int
    static let bias = Addends(rawValue: 1)
    static let imageBias = Addends(rawValue: 2)
    static let residual = Addends(rawValue: 4)
    static let all: Addends = [.bias, .imageBias, .residual]
  }

  var images = 2
  var height = 5
  var width = 7
  var channels = 17
  var outputs = 33
  var kernel = (height: 3, width: 3)
  var stride = 1
  var padding = ConvolutionGeometry.Padding(1)
  var upsampling = 1
  /// Channels of each pixel that belong to somebody else.
  var extraInput = 0
  var addends = Addends.all
  var scale: Float = 0.75
  /// How the weights are stored.
  var format = FS_FLOAT32
  /// Whether the input is converted ahead of the kernels even where they read floats.
  var convertsAhead = false

  var testDescription: String {
    "\(images)x\(height)x\(width)x\(channels)+\(extraInput) to \(outputs), kernel \(kernel.height)x\(kernel.width), "
      + "stride \(stride), padding \(padding.top) \(padding.left) \(padding.bottom) \(padding.right), "
      + "upsampling \(upsampling), addends \(addends.rawValue), scale \(scale), "
      + "format \(format.rawValue)\(convertsAhead ? ", converted ahead" : "")"
  }

  var outHeight: Int { (height * upsampling + padding.top + padding.bottom - kernel.height) / stride + 1 }
  var outWidth: Int { (width * upsampling + padding.left + padding.right - kernel.width) / stride + 1 }
  var pixels: Int { outHeight * outWidth }
  var rows: Int { images * pixels }
  var panels: Int { (outputs + FS_PANEL - 1) / FS_PANEL }
  var inputStride: Int { channels + extraInput }
  var taps: Int { kernel.height * kernel.width }

  struct Data {
    var input: [Float]
    let weights: [Float]
    let bias: [Float]
    var imageBias: [Float]
    var residual: [Float]
  }

  /// Somebody else's channels are NaN; the last pixel has none.
  func makeData() -> Data {
    var numbers = TestNumbers(seed: UInt64(channels * 1000 + outputs))
    var input = numbers.array(images * height * width * inputStride - extraInput)
    for index in input.indices where index % inputStride >= channels { input[index] = .nan }
    let weights = numbers.array(outputs * channels * taps).map { value(ofStored: stored($0)) }
    return Data(
      input: input, weights: weights, bias: numbers.array(outputs),
      imageBias: numbers.array(images * outputs), residual: numbers.array(rows * outputs))
  }

  /// The bits of a weight in its format.
  private func stored(_ weight: Float) -> UInt32 {
    switch format {
    case FS_FLOAT16: UInt32(Float16(weight).bitPattern)
    case FS_BFLOAT16: weight.bitPattern >> 16
    default: weight.bitPattern
    }
  }

  private func value(ofStored bits: UInt32) -> Float {
    switch format {
    case FS_FLOAT16: Float(Float16(bitPattern: UInt16(bits)))
    case FS_BFLOAT16: Float(bitPattern: bits << 16)
    default: Float(bitPattern: bits)
    }
  }

  /// The problem and the data of one image.
  func alone(_ image: Int, of data: Data) -> (ConvolutionProblem, Data) {
    var (problem, own) = (self, data)
    problem.images = 1
    let inputs = height * width * inputStride
    own.input = Array(data.input[image * inputs..<(image + 1) * inputs - extraInput])
    own.imageBias = Array(data.imageBias[image * outputs..<(image + 1) * outputs])
    own.residual = Array(data.residual[image * pixels * outputs..<(image + 1) * pixels * outputs])
    return (problem, own)
  }

  /// One output by the definition.
  struct Expected {
    var sum = 0.0
    var squares = 0.0
    var terms = 0.0

    mutating func add(_ term: Double) {
      sum += term
      squares += term * term
      terms += 1
    }

    /// What the roundings of the sum add up to: its partial sums of terms with random signs are about the root of the
    /// sum of squares, and so many independent roundings of them grow as the root of their number. Four times that, for
    /// the largest of thousands of outputs.
    var rounding: Double { 4 * roundoff * (terms * squares).squareRoot() }
  }

  /// By the definition, in double precision.
  func reference(_ data: Data) -> [Expected] {
    var result: [Expected] = []
    for row in 0..<rows {
      let (image, y, x) = (row / pixels, row % pixels / outWidth, row % outWidth)
      for output in 0..<outputs {
        var expected = Expected()
        for ky in 0..<kernel.height {
          for kx in 0..<kernel.width {
            let (inY, inX) = (y * stride + ky - padding.top, x * stride + kx - padding.left)
            guard (0..<height * upsampling).contains(inY), (0..<width * upsampling).contains(inX) else { continue }
            let pixel = (image * height + inY / upsampling) * width + inX / upsampling
            for channel in 0..<channels {
              let weight = data.weights[(output * channels + channel) * taps + ky * kernel.width + kx]
              expected.add(Double(data.input[pixel * inputStride + channel]) * Double(weight))
            }
          }
        }
        if addends.contains(.bias) { expected.add(Double(data.bias[output])) }
        if addends.contains(.imageBias) { expected.add(Double(data.imageBias[image * outputs + output])) }
        if addends.contains(.residual) { expected.add(Double(data.residual[row * outputs + output])) }
        expected.sum *= Double(scale)
        expected.squares *= Double(scale * scale)
        result.append(expected)
      }
    }
    return result
  }

  /// The largest error in units of what the roundings of a plain sum add up to.
  func error(of result: [Float], _ algorithm: Algorithm, _ reference: [Expected]) -> Double {
    guard result.count == reference.count else { return .infinity }
    // Winograd's outputs share the roundings of their patch, also those that the padding leaves few terms of their own.
    let shared = algorithm == .winograd ? reference.map(\.rounding).max() ?? 0 : 0
    return zip(result, reference).reduce(0) { largest, pair in
      let error = abs(Double(pair.0) - pair.1.sum)
      // NaN, an element never written, is the largest of all. The least is the rounding of 0.
      return error.isNaN ? .infinity : max(largest, error / max(pair.1.rounding, shared, leastNormal))
    }
  }
}

extension ConvolutionProblem {
  enum Algorithm {
    case direct, winograd
  }

  /// A part of the work: rows, or tiles of Winograd's, and panels.
  struct Piece {
    var units: Range<Int>
    var panels: Range<Int>
  }

  /// What is cut into pieces.
  func unitCount(_ algorithm: Algorithm) -> Int {
    guard algorithm == .winograd else { return rows }
    var operation = geometry
    return images * Int(fs_winograd_tiles(&operation))
  }

  /// Whether Winograd's tiles are those of 6x6 outputs from 8x8 points, whose rounding errors are the largest.
  var hasLargeTiles: Bool {
    var operation = geometry
    return fs_winograd_products(&operation) == 64
  }

  /// Without the data.
  private var geometry: fs_convolution {
    var operation = fs_convolution()
    operation.input_stride = Int64(inputStride)
    (operation.height, operation.width, operation.channels) = (Int64(height), Int64(width), Int64(channels))
    operation.upsampling = Int64(upsampling)
    (operation.out_height, operation.out_width) = (Int64(outHeight), Int64(outWidth))
    (operation.kernel_height, operation.kernel_width) = (Int64(kernel.height), Int64(kernel.width))
    operation.stride = Int64(stride)
    (operation.pad_top, operation.pad_left) = (Int64(padding.top), Int64(padding.left))
    return operation
  }

  /// All pieces of a cut by units and by panels.
  func pieces(units: [Range<Int>], panels: [Range<Int>]) -> [Piece] {
    panels.flatMap { panel in units.map { Piece(units: $0, panels: panel) } }
  }

  /// By the kernels, in buffers that end at a guard page; NaN where nothing was written.
  func result(_ data: Data, _ algorithm: Algorithm, pieces: [Piece]? = nil) -> [Float] {
    let input = GuardedBuffer(data.input)
    let zeros = GuardedBuffer([Float](repeating: 0, count: channels + 2))
    let bias = GuardedBuffer(data.bias)
    let imageBias = GuardedBuffer(data.imageBias)
    let residual = GuardedBuffer(data.residual)
    let output = GuardedBuffer(unwritten: rows * outputs)
    let weights = GuardedBuffer(packedWeights(data))
    var operation = geometry
    operation.format = format
    let margin = fs_pixel_margin(&operation)
    let pixels = GuardedBuffer(algorithm == .direct ? convertedPixels(data, margin: Int(margin)) : [])
    operation.input = UnsafePointer(input.pointer)
    operation.zeros = UnsafePointer(zeros.pointer)
    operation.weights = UnsafeRawPointer(weights.pointer)
    if pixels.elements.count > 0 {
      (operation.input, operation.pixels, operation.margin) = (nil, UnsafeRawPointer(pixels.pointer), margin)
    }
    operation.outputs = Int64(outputs)
    if addends.contains(.bias) { operation.bias = UnsafePointer(bias.pointer) }
    if addends.contains(.imageBias) { operation.image_bias = UnsafePointer(imageBias.pointer) }
    if addends.contains(.residual) { operation.residual = UnsafePointer(residual.pointer) }
    operation.scale = scale
    operation.output = output.pointer
    for piece in pieces ?? [Piece(units: 0..<unitCount(algorithm), panels: 0..<panels)] {
      let (begin, end) = (Int64(piece.units.lowerBound), Int64(piece.units.upperBound))
      let panels = (Int64(piece.panels.lowerBound), Int64(piece.panels.upperBound))
      switch algorithm {
      case .direct:
        fs_convolve(&operation, begin, end, panels.0, panels.1)
      case .winograd:
        let patches = GuardedBuffer(unwritten: Int(fs_winograd_patch_count(&operation, end - begin)))
        let scratch = GuardedBuffer(unwritten: Int(fs_winograd_scratch_count(&operation, end - begin)))
        let middle = begin + (end - begin) / 3
        fs_winograd_patches(&operation, begin, end, middle, end, patches.pointer)
        fs_winograd_patches(&operation, begin, end, begin, middle, patches.pointer)
        fs_winograd(&operation, begin, end, panels.0, panels.1, patches.pointer, scratch.pointer)
      }
    }
    return output.values
  }

  private func packedWeights(_ data: Data) -> [Float] {
    let source = GuardedBuffer(data.weights)
    let bytes = fs_packed_bytes(format, Int64(outputs), Int64(channels), Int64(taps))
    let packed = GuardedBuffer(unwritten: Int(bytes) / 4)
    // In any order: every panel has a place of its own.
    for panel in (0..<panels).reversed() {
      fs_pack_weights(
        format, packed.pointer, source.pointer, Int64(outputs), Int64(channels), Int64(taps), Int64(panel))
    }
    return packed.values
  }

  /// The input as the format's kernels read it, each picture with its margin, row by row from the last; nothing where
  /// they read floats.
  private func convertedPixels(_ data: Data, margin: Int) -> [Float] {
    guard !fs_reads_floats(format, Int64(channels), Int64(taps)) || convertsAhead else { return [] }
    let bytes = Int(fs_pixel_bytes(format, Int64(channels)))
    guard bytes > 0 else { return [] }
    let input = GuardedBuffer(data.input)
    let pitch = width + 2 * margin
    let pixels = GuardedBuffer([Float](repeating: 0, count: images * (height + 2 * margin) * pitch * bytes / 4))
    for row in (0..<images * height).reversed() {
      let target = (row / height * (height + 2 * margin) + row % height + margin) * pitch + margin
      fs_convert_pixels(
        format, pixels.pointer + target * bytes / 4, input.pointer + row * width * inputStride, Int64(inputStride),
        Int64(width), Int64(channels))
    }
    return pixels.values
  }
}
