import Checkpoints

/// What a pruned UNet lacks of the one that its configuration describes.
///
/// A model folder carries it in the UNet's config.json under the key `fewstep_pruning`:
///
///     "fewstep_pruning": {
///       "heads": {"mid_block.attentions.0.transformer_blocks.0.attn1": 3},
///       "blocks": ["up_blocks.0.attentions.1", "down_blocks.0.resnets.0"]
///     }
///
/// An attention that lost heads has inner matrices of heads × dimension, narrower than its channels, where the
/// dimension is the unpruned one. diffusers has no such layers and cannot read the folder.
public struct UNetPruning: Hashable, Sendable {
  /// How many heads are left, of those attentions that lost some.
  public var heads: [String: Int] = [:]
  /// Transformers and residual blocks that are gone; of the latter a shortcut of other channels stays.
  public var blocks: Set<String> = []

  static let key = "fewstep_pruning"

  public init(heads: [String: Int] = [:], blocks: Set<String> = []) {
    self.heads = heads
    self.blocks = blocks
  }

  /// Reads what `reader` has of it, and holds it against the layers of the configuration.
  init(_ reader: ConfigurationReader, layers: () throws(CheckpointError) -> [UNetLayer]) throws(CheckpointError) {
    guard let members = try reader.object(Self.key) else { return }
    func failure(_ name: String, _ found: String, _ expected: String) -> CheckpointError {
      reader.failure("\(Self.key).\(name)", found: found, expected: expected)
    }
    let known = Dictionary(uniqueKeysWithValues: try layers().map { ($0.name, $0) })
    for (name, value) in members.sorted(by: { $0.key < $1.key }) {
      switch (name, value) {
      case ("blocks", .array(let elements)):
        for element in elements {
          guard case .string(let block) = element, known[block]?.isBlock == true else {
            throw failure(name, element.description, "names of transformers and residual blocks")
          }
          blocks.insert(block)
        }
      case ("heads", .object(let counts)):
        for (attention, count) in counts.sorted(by: { $0.key < $1.key }) {
          guard let all = known[attention]?.heads else {
            throw failure("\(name).\(attention)", "no such layer", "the name of an attention")
          }
          guard let count = count.integer, (1...all).contains(count) else {
            throw failure("\(name).\(attention)", count.description, "1 to \(all) heads")
          }
          heads[attention] = count
        }
      case ("blocks", _): throw failure(name, value.description, "a list of names")
      case ("heads", _): throw failure(name, value.description, "an object of counts")
      default: throw failure(name, value.description, "no more than heads and blocks")
      }
    }
  }
}
