import Checkpoints

/// A layer of a UNet that can be removed or lose heads, by diffusers' name for it.
public struct UNetLayer: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// `down_blocks.0.resnets.1`.
    case residual
    /// `mid_block.attentions.0`.
    case transformer
    /// `mid_block.attentions.0.transformer_blocks.0.attn1`, with so many heads before any was removed.
    case attention(heads: Int)
  }

  public let name: String
  public let kind: Kind

  /// Whether it is removed as a whole.
  public var isBlock: Bool { kind == .residual || kind == .transformer }

  /// Of an attention.
  public var heads: Int? {
    guard case .attention(let heads) = kind else { return nil }
    return heads
  }
}

extension UNetConfiguration {
  /// The layers in the order in which they are run, those included that have been removed.
  public var layerList: [UNetLayer] {
    var list: [UNetLayer] = []
    func append(_ block: String, level: Int, residuals: Int, transformers: Int) {
      for index in 0..<residuals {
        list.append(UNetLayer(name: "\(block).resnets.\(index)", kind: .residual))
        guard index < transformers else { continue }
        let transformer = "\(block).attentions.\(index)"
        list.append(UNetLayer(name: transformer, kind: .transformer))
        for own in 0..<transformerLayers[level] {
          for attention in ["attn1", "attn2"] {
            list.append(
              UNetLayer(
                name: "\(transformer).transformer_blocks.\(own).\(attention)", kind: .attention(heads: heads[level])))
          }
        }
      }
    }
    let last = blockChannels.count - 1
    for level in 0...last {
      append(
        "down_blocks.\(level)", level: level, residuals: layers[level],
        transformers: downHasAttention[level] ? layers[level] : 0)
    }
    switch mid {
    case .none: break
    case .plain: append("mid_block", level: last, residuals: 1, transformers: 0)
    case .attention: append("mid_block", level: last, residuals: 2, transformers: 1)
    }
    for index in 0...last {
      let count = layers[last - index] + 1
      append(
        "up_blocks.\(index)", level: last - index, residuals: count, transformers: upHasAttention[index] ? count : 0)
    }
    return list
  }

  /// The same for a configuration that no weights have confirmed yet.
  func checkedLayerList(_ reader: ConfigurationReader) throws(CheckpointError) -> [UNetLayer] {
    let limit = 10_000
    let count = zip(layers, transformerLayers).reduce(0) { $0 + 2 * ($1.0 + 1) * ($1.1 + 1) }
    guard count <= limit else {
      throw reader.failure("layers_per_block", found: "more than \(limit) layers", expected: "fewer, to be pruned")
    }
    return layerList
  }
}
