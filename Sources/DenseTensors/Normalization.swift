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
    let statistics = GroupStatistics(
      of: shape, parameters, groups: groups, imageScale: imageScale, imageShift: imageShift)
    return rewritten(for: layer) { input, writer in
      withExtendedLifetime(statistics) {
        statistics.forEachPiece(of: input) { rows, scales in
          writer.writeScaled(rows, of: input, by: scales, silu: silu)
        }
      }
    }
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
