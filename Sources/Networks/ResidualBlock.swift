import Checkpoints
import DenseTensors
import Tensors

/// Group norm, activation, convolution, twice, around a skip connection: diffusers' `ResnetBlock2D`.
struct ResidualBlock: Sendable {
  /// What the residual blocks of one network have in common.
  struct Style: Sendable {
    var groups: Int
    var epsilon: Double
    var activation: Activation
    /// The width of the time embedding; nil for networks without one.
    var timeWidth: Int?
    /// Whether the time embedding scales and shifts the second norm, in place of being added before it.
    var scalesAndShifts = false
    /// What the sum is divided by.
    var divisor: Double = 1
  }

  private let style: Style
  /// nil where it has been pruned away.
  private let branch: Branch?
  private let shortcut: PackedWeights?

  private struct Branch: Sendable {
    let norm1: NormParameters
    let conv1: PackedWeights
    let timeProjection: PackedWeights?
    let norm2: NormParameters
    let conv2: PackedWeights

    init(_ loader: LayerLoader, from channels: Int, to outputs: Int, style: Style) throws(CheckpointError) {
      norm1 = try loader.norm("norm1", channels, epsilon: style.epsilon)
      conv1 = try loader.convolution("conv1", from: channels, to: outputs)
      if let timeWidth = style.timeWidth {
        timeProjection = try loader.precise.linear(
          "time_emb_proj", from: timeWidth, to: style.scalesAndShifts ? 2 * outputs : outputs)
      } else {
        timeProjection = nil
      }
      norm2 = try loader.norm("norm2", outputs, epsilon: style.epsilon)
      conv2 = try loader.convolution("conv2", from: outputs, to: outputs)
    }
  }

  init(_ loader: LayerLoader, from channels: Int, to outputs: Int, style: Style) throws(CheckpointError) {
    self.style = style
    branch = loader.isRemoved ? nil : try Branch(loader, from: channels, to: outputs, style: style)
    shortcut = channels == outputs ? nil : try loader.linear("conv_shortcut", from: channels, to: outputs)
  }

  /// - Parameters:
  ///   - input: `[batch, height, width, channels]`.
  ///   - time: `[batch, timeWidth]`, after its activation where the style has one.
  ///   - history: of norms, for networks without a time.
  func callAsFunction(
    _ input: consuming DenseTensor<Float>, time: DenseTensor<Float>? = nil, history: NormHistory? = nil
  ) -> DenseTensor<Float> {
    guard let branch else { return skipped(input) }
    let projected = branch.timeProjection.flatMap { projection in time?.linear(projection) }
    let same = ConvolutionGeometry(padding: .init(1))
    // Where there is a shortcut, the input is not needed after it, and the norm may take its memory.
    let skip: DenseTensor<Float>
    if let shortcut { skip = input.convolved(with: shortcut) } else { skip = copy input }
    var hidden = normalized(consume input, branch.norm1, history: history)
    hidden = hidden.convolved(with: branch.conv1, same, imageBias: style.scalesAndShifts ? nil : projected)
    if style.scalesAndShifts, let projected {
      let halves = projected.splitColumns(2)
      hidden = normalized(consume hidden, branch.norm2, imageScale: halves[0], imageShift: halves[1])
    } else {
      hidden = normalized(consume hidden, branch.norm2, history: history)
    }
    return hidden.convolved(with: branch.conv2, same, residual: skip, scale: Float(1 / style.divisor))
  }

  /// What is left of the output without the branch.
  func skipped(_ input: DenseTensor<Float>) -> DenseTensor<Float> {
    let skip = shortcut.map { input.convolved(with: $0) } ?? input
    return style.divisor == 1 ? skip : skip.affine(scale: Float(1 / style.divisor), shift: 0)
  }

  private func normalized(
    _ input: consuming DenseTensor<Float>, _ norm: NormParameters, imageScale: DenseTensor<Float>? = nil,
    imageShift: DenseTensor<Float>? = nil, history: NormHistory? = nil
  ) -> DenseTensor<Float> {
    input.normalized(
      norm, groups: style.groups, activation: style.activation, imageScale: imageScale, imageShift: imageShift,
      history: history)
  }
}

extension DenseTensor<Float> {
  /// Group norm, then the activation, in one pass where that is SiLU.
  consuming func normalized(
    _ norm: NormParameters, groups: Int, activation: Activation, imageScale: DenseTensor<Float>? = nil,
    imageShift: DenseTensor<Float>? = nil, history: NormHistory? = nil
  ) -> DenseTensor<Float> {
    let isFused = activation == .silu
    if let history, history.isFrozen, let frozen = history.norms[norm.name] {
      let result = normalized(frozen, silu: isFused)
      return isFused ? result : result.activated(activation)
    }
    history?.norms[norm.name] = frozenNorm(norm, groups: groups)
    let result = groupNormalized(
      norm, groups: groups, silu: isFused, imageScale: imageScale, imageShift: imageShift)
    return isFused ? result : result.activated(activation)
  }
}
