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
    // Where there is a shortcut, the input is not needed after it, and the norm may take its memory.
    let skip: DenseTensor<Float>
    if let shortcut { skip = input.convolved(with: shortcut) } else { skip = copy input }
    let hidden = normalized(consume input, branch.norm1, for: branch.conv1, history: history)
      .convolved(with: branch.conv1, Self.same, imageBias: style.scalesAndShifts ? nil : projected)
    let scales = style.scalesAndShifts ? projected?.splitColumns(2) : nil
    return normalized(
      consume hidden, branch.norm2, for: branch.conv2, imageScale: scales?[0], imageShift: scales?[1],
      history: scales == nil ? history : nil
    ).convolved(with: branch.conv2, Self.same, residual: skip, scale: Float(1 / style.divisor))
  }

  private static let same = ConvolutionGeometry(padding: .init(1))

  /// What is left of the output without the branch.
  func skipped(_ input: DenseTensor<Float>) -> DenseTensor<Float> {
    let skip = shortcut.map { input.convolved(with: $0) } ?? input
    return style.divisor == 1 ? skip : skip.affine(scale: Float(1 / style.divisor), shift: 0)
  }

  private func normalized(
    _ input: consuming DenseTensor<Float>, _ norm: NormParameters, for weights: PackedWeights,
    imageScale: DenseTensor<Float>? = nil, imageShift: DenseTensor<Float>? = nil, history: NormHistory? = nil
  ) -> LayerInput {
    input.normalized(
      norm, groups: style.groups, activation: style.activation, imageScale: imageScale, imageShift: imageShift,
      history: history, for: weights, Self.same)
  }
}

extension DenseTensor<Float> {
  /// Group norm, the activation and a convolution.
  consuming func normalized(
    _ norm: NormParameters, groups: Int, activation: Activation, history: NormHistory? = nil,
    convolvedWith weights: PackedWeights, _ geometry: ConvolutionGeometry
  ) -> DenseTensor<Float> {
    normalized(norm, groups: groups, activation: activation, history: history, for: weights, geometry)
      .convolved(with: weights, geometry)
  }

  /// Group norm, then the activation, in one pass where that is SiLU, as what a convolution reads.
  consuming func normalized(
    _ norm: NormParameters, groups: Int, activation: Activation, imageScale: DenseTensor<Float>? = nil,
    imageShift: DenseTensor<Float>? = nil, history: NormHistory? = nil, for weights: PackedWeights,
    _ geometry: ConvolutionGeometry
  ) -> LayerInput {
    let isFused = activation == .silu
    if let history, history.isFrozen, let frozen = history.norms[norm.name] {
      return isFused
        ? normalized(frozen, silu: true, for: weights, geometry)
        : LayerInput(normalized(frozen, silu: false).activated(activation))
    }
    history?.norms[norm.name] = frozenNorm(norm, groups: groups)
    return isFused
      ? groupNormalized(
        norm, groups: groups, silu: true, imageScale: imageScale, imageShift: imageShift, for: weights, geometry)
      : LayerInput(
        groupNormalized(norm, groups: groups, imageScale: imageScale, imageShift: imageShift).activated(activation))
  }
}
