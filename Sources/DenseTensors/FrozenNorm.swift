import CKernels
import Tensors

/// What a group norm did to one image: a factor and a summand for each channel, to be used on others.
public struct FrozenNorm: Hashable, Sendable {
  /// The factors, then the summands.
  let scales: [Float]
}

extension DenseTensor where Scalar == Float {
  /// What ``groupNormalized(_:groups:silu:imageScale:imageShift:)`` does to `[1, ..., channels]`.
  ///
  /// - Precondition: there is one image, whose channels fit the parameters and are a multiple of the groups.
  public func frozenNorm(_ parameters: NormParameters, groups: Int) -> FrozenNorm {
    let channels = shape[-1]
    precondition(shape[0] == 1 && channels == parameters.channels && channels % groups == 0)
    let statistics = GroupStatistics(of: shape, parameters, groups: groups)
    return withExtendedLifetime((self, statistics)) {
      statistics.compute(on: storage.elements.baseAddress!)
      return FrozenNorm(scales: Array(statistics.scales))
    }
  }

  /// The norm of another image, then SiLU where asked for, in the memory of a tensor that nobody else has.
  ///
  /// - Precondition: the channels fit.
  public consuming func normalized(_ frozen: FrozenNorm, silu: Bool) -> DenseTensor {
    DenseTensor(normalized(frozen, silu: silu, layer: nil))
  }

  /// The same as what a layer reads.
  public consuming func normalized(
    _ frozen: FrozenNorm, silu: Bool, for weights: PackedWeights, _ geometry: ConvolutionGeometry = .init()
  ) -> LayerInput {
    normalized(frozen, silu: silu, layer: (weights, geometry))
  }

  private consuming func normalized(
    _ frozen: FrozenNorm, silu: Bool, layer: LayerInput.Layer?
  ) -> LayerInput {
    let channels = shape[-1]
    precondition(2 * channels == frozen.scales.count)
    let rows = shape.count / channels
    return rewritten(for: layer) { input, writer in
      frozen.scales.withUnsafeBufferPointer { scales in
        // Read by all tasks, which end before it does.
        nonisolated(unsafe) let scale = scales.baseAddress!
        ThreadPool.forEachRange(rows, grain: max(1, 16384 / channels)) { range in
          writer.writeScaled(range, of: input, by: scale, silu: silu)
        }
      }
    }
  }
}
