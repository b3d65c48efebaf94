import Checkpoints
import Foundation
import Quantization
import Tensors

extension ModelFolder {
  /// Writes this model without the layers and heads of `choice` to a new folder, which is read like any other: the
  /// matrices there are smaller, and numbers are of the types that they have here. ``UNetPruning`` says what else is
  /// different. What made up for removed heads is in `to_out`. The folder appears whole or not at all.
  ///
  /// - Throws: `CheckpointError` where there is something at `target` already, or a file cannot be read or written.
  public func writePruned(
    _ choice: PruningChoice, component: String = "unet", to target: URL
  ) throws(CheckpointError) {
    let partial = try PartialFolder(for: target)
    try writePruned(choice, component: component, in: partial)
    try partial.commit()
  }

  /// The same, for callers that have made sure beforehand that they can write.
  package func writePruned(
    _ choice: PruningChoice, component: String = "unet", in partial: PartialFolder
  ) throws(CheckpointError) {
    let configuration = try UNetConfiguration(self, component: component)
    let store = try weights(component: component)
    try copy(to: partial.url, withoutWeightsOf: [component])
    let folder = partial.url.appending(path: component, directoryHint: .isDirectory)
    let pruning = choice.pruning(of: configuration.pruning)
    var tensors: [SafetensorsWriter.Tensor] = []
    for name in store.names {
      if let tensor = try choice.tensor(name, of: store) { tensors.append(tensor) }
    }
    try writeConfiguration(component: component, setting: UNetPruning.key, to: pruning.json, in: folder)
    try SafetensorsWriter.write(
      tensors, metadata: ["format": "pt"], to: folder.appending(path: "diffusion_pytorch_model.safetensors"))
  }
}

extension UNetPruning {
  /// As ``init(_:layers:)`` reads it.
  var json: JSONValue {
    .object([
      "heads": .object(heads.mapValues { .number(Double($0)) }),
      "blocks": .array(blocks.sorted().map(JSONValue.string)),
    ])
  }
}

extension PruningChoice {
  /// What the model lacks afterwards.
  func pruning(of earlier: UNetPruning) -> UNetPruning {
    var pruning = earlier
    pruning.blocks.formUnion(blocks.map(\.block))
    for head in heads { pruning.heads[head.attention, default: headCounts[head.attention] ?? 1] -= 1 }
    // What is gone as a whole has no heads to speak of.
    pruning.heads = pruning.heads.filter { name, _ in
      !pruning.blocks.contains { name.hasPrefix($0 + ".") }
    }
    return pruning
  }

  /// What becomes of a tensor; nil where it goes.
  fileprivate func tensor(_ name: String, of store: WeightStore) throws(CheckpointError) -> SafetensorsWriter.Tensor? {
    if let block = blocks.first(where: { name.hasPrefix($0.block + ".") })?.block,
      !name.hasPrefix(block + ".conv_shortcut.")
    {
      return nil
    }
    let entry = try store.entry(name)
    var shape = entry.shape
    var values = try store.floats(name)
    if let (attention, replacement) = replacements.first(where: { name.hasPrefix($0.key + ".") }) {
      let width = replacement.kept.count + replacement.removed.count
      switch name.dropFirst(attention.count + 1) {
      case "to_q.weight", "to_k.weight", "to_v.weight":
        let columns = shape.count / width
        values = replacement.kept.flatMap { values[$0 * columns..<($0 + 1) * columns] }
        shape = [replacement.kept.count, columns]
      case "to_out.0.weight":
        let outputs = shape.count / width
        values = replacement.fold(values, Array(repeating: 0, count: outputs)).weights
        shape = [outputs, replacement.kept.count]
      case "to_out.0.bias":
        let weights = try store.floats("\(attention).to_out.0.weight", shape: [values.count, width])
        values = replacement.fold(weights, values).bias
      default: break
      }
    }
    let typed: SafetensorsWriter.Values =
      switch entry.dataType {
      case .float16: .float16(values.map(HalfFloat.binary16.bits))
      case .bfloat16: .bfloat16(values.map(HalfFloat.bfloat16.bits))
      default: .float32(values)
      }
    return SafetensorsWriter.Tensor(name: name, shape: shape, values: typed)
  }
}
