import CKernels
import Tensors

/// The gain and shift of a norm, one of each per channel.
public struct NormParameters: Sendable {
  let gain: DenseStorage<Float>
  let shift: DenseStorage<Float>
  public let epsilon: Float
  /// The name in the checkpoint, for profiles.
  public var name = ""

  public var channels: Int { gain.elements.count }

  /// - Precondition: there are as many gains as shifts.
  public init(gain: [Float], shift: [Float], epsilon: Float) {
    precondition(gain.count == shift.count)
    (self.gain, self.shift) = ActivationArena.outside { (DenseStorage(gain), DenseStorage(shift)) }
    self.epsilon = epsilon
  }
}

extension DenseTensor where Scalar == Float {
  /// Group norm of `[batch, ..., channels]`: each image's groups of channels get mean 0 and variance 1, then gain and
  /// shift, then SiLU where asked for.
  ///
  /// Wu and He 2018, arXiv:1803.08494.
  ///
  /// Takes the memory of a tensor that nobody else has, as all that consume theirs do.
  ///
  /// - Parameters:
  ///   - imageScale: `[batch, channels]`: the result is multiplied with 1 plus this, before SiLU.
  ///   - imageShift: `[batch, channels]`: added after that.
  /// - Precondition: the channels fit the parameters and are a multiple of the groups.
  public consuming func groupNormalized(
    _ parameters: NormParameters, groups: Int, silu: Bool = false, imageScale: DenseTensor? = nil,
    imageShift: DenseTensor? = nil
  ) -> DenseTensor {
    DenseTensor(
      groupNormalized(
        parameters, groups: groups, silu: silu, imageScale: imageScale, imageShift: imageShift, layer: nil))
  }

  /// The same as what a layer reads.
  public consuming func groupNormalized(
    _ parameters: NormParameters, groups: Int, silu: Bool = false, imageScale: DenseTensor? = nil,
    imageShift: DenseTensor? = nil, for weights: PackedWeights, _ geometry: ConvolutionGeometry = .init()
  ) -> LayerInput {
    groupNormalized(
      parameters, groups: groups, silu: silu, imageScale: imageScale, imageShift: imageShift,
      layer: (weights, geometry))
  }

  private consuming func groupNormalized(
    _ parameters: NormParameters, groups: Int, silu: Bool, imageScale: DenseTensor?, imageShift: DenseTensor?,
    layer: LayerInput.Layer?
  ) -> LayerInput {
    let channels = shape[-1]
    precondition(channels == parameters.channels && channels % groups == 0, "\(shape) in \(groups) groups")
    let (timer, shape) = (Profile.timer(), shape)
    defer { timer?.stop(.groupNorm, name: parameters.name, shape: "\(shape)\(silu ? " silu" : "")") }
    let scales = groupScales(parameters, groups: groups, imageScale: imageScale, imageShift: imageShift)
    let rows = shape.count / shape[0] / channels
    let pieceRows = max(1, 16384 / channels)
    let pieces = (rows + pieceRows - 1) / pieceRows
    return rewritten(for: layer) { input, writer in
      withExtendedLifetime(scales) {
        ThreadPool.forEach(shape[0] * pieces) { task in
          let (image, piece) = task.quotientAndRemainder(dividingBy: pieces)
          let first = image * rows + piece * pieceRows
          writer.writeScaled(
            first..<first + min(pieceRows, rows - piece * pieceRows), of: input,
            by: scales.elements.baseAddress! + image * 2 * channels, silu: silu)
        }
      }
    }
  }

  /// One factor and one summand per image and channel that do its group norm at once: `[batch][factors, summands]`.
  func groupScales(
    _ parameters: NormParameters, groups: Int, imageScale: DenseTensor? = nil, imageShift: DenseTensor? = nil
  ) -> DenseStorage<Float> {
    let channels = shape[-1]
    let (images, rows) = (shape[0], shape.count / shape[0] / channels)
    // Sums over pieces of fixed size, added up in order: the same bits for any number of threads.
    let pieceRows = max(1, 16384 / channels)
    let pieces = (rows + pieceRows - 1) / pieceRows
    let sums = DenseStorage<Double>(count: images * pieces * 2 * channels)
    let scales = DenseStorage<Float>(count: images * 2 * channels)
    let input = storage.elements.baseAddress!
    withExtendedLifetime((self, sums, scales, parameters)) {
      ThreadPool.forEach(images * pieces) { task in
        let (image, piece) = (task / pieces, task % pieces)
        let own = sums.elements.baseAddress! + task * 2 * channels
        own.initialize(repeating: 0, count: 2 * channels)
        fs_channel_sums(
          own, own + channels, input + (image * rows + piece * pieceRows) * channels,
          Int64(min(pieceRows, rows - piece * pieceRows)), Int64(channels))
      }
      for image in 0..<images {
        let total = sums.elements.baseAddress! + image * pieces * 2 * channels
        for piece in 1..<max(pieces, 1) {
          let own = total + piece * 2 * channels
          for index in 0..<2 * channels { total[index] += own[index] }
        }
        parameters.foldStatistics(
          of: total, channels: channels, groups: groups, rows: rows,
          into: scales.elements.baseAddress! + image * 2 * channels,
          imageScale: imageScale.map { $0.storage.elements.baseAddress! + image * channels },
          imageShift: imageShift.map { $0.storage.elements.baseAddress! + image * channels })
      }
    }
    return scales
  }

  /// Layer norm over the last dimension.
  ///
  /// Ba, Kiros and Hinton 2016, arXiv:1607.06450.
  ///
  /// - Precondition: the channels fit the parameters.
  public func layerNormalized(_ parameters: NormParameters) -> DenseTensor {
    DenseTensor(layerNormalized(parameters, layer: nil))
  }

  /// The same as what a linear layer reads.
  public func layerNormalized(_ parameters: NormParameters, for weights: PackedWeights) -> LayerInput {
    layerNormalized(parameters, layer: (weights, .init()))
  }

  private func layerNormalized(
    _ parameters: NormParameters, layer: LayerInput.Layer?
  ) -> LayerInput {
    let channels = shape[-1]
    precondition(channels == parameters.channels, "\(shape) into \(parameters.channels) channels")
    let timer = Profile.timer()
    defer { timer?.stop(.layerNorm, name: parameters.name, shape: "\(shape)") }
    return withExtendedLifetime((self, parameters)) {
      .make(shape, for: layer) { writer in
        let input = storage.elements.baseAddress!
        ThreadPool.forEachRange(shape.count / channels, grain: max(1, 8192 / channels)) { rows in
          writer.write(rows) { part, output in
            fs_layer_norm(
              output, input + part.lowerBound * channels, parameters.gain.elements.baseAddress,
              parameters.shift.elements.baseAddress, Int64(part.count), Int64(channels), parameters.epsilon)
          }
        }
      }
    }
  }
}

extension NormParameters {
  /// One factor and one summand per channel that do normalisation, gain and shift at once.
  ///
  /// - Parameters:
  ///   - sums: of each channel, then of its squares.
  ///   - scales: the factors, then the summands.
  fileprivate func foldStatistics(
    of sums: UnsafePointer<Double>, channels: Int, groups: Int, rows: Int, into scales: UnsafeMutablePointer<Float>,
    imageScale: UnsafePointer<Float>?, imageShift: UnsafePointer<Float>?
  ) {
    let size = channels / groups
    let count = Double(rows * size)
    for group in 0..<groups {
      let members = group * size..<(group + 1) * size
      let mean = members.reduce(0) { $0 + sums[$1] } / count
      let square = members.reduce(0) { $0 + sums[channels + $1] } / count
      let inverse = 1 / (max(square - mean * mean, 0) + Double(epsilon)).squareRoot()
      for channel in members {
        let factor = Double(gain.elements[channel]) * inverse
        let extra = 1 + Double(imageScale?[channel] ?? 0)
        scales[channel] = Float(factor * extra)
        scales[channels + channel] = Float(
          (Double(shift.elements[channel]) - mean * factor) * extra + Double(imageShift?[channel] ?? 0))
      }
    }
  }
}
