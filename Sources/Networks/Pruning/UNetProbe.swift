import DenseTensors
import Tensors

/// What looks at the layers of a run, and may change what they give.
///
/// Not Sendable: it belongs to one run, and may keep what it sees.
public struct UNetProbe {
  /// An attention's name and its output before `to_out`, `[batch, pixels, heads × dimension]`.
  public var attended: (_ attention: String, _ output: inout DenseTensor<Float>) -> Void = { _, _ in }
  /// The name of a transformer or residual block, its output, and what that would be without it.
  public var finished:
    (_ block: String, _ output: inout DenseTensor<Float>, _ skipped: () -> DenseTensor<Float>) -> Void =
      { _, _, _ in }

  public init() {}
}

/// Parts of a UNet that are silenced for a run: what would be left if they were removed.
package struct UNetAblation: Hashable {
  /// Heads by attention.
  package var heads: [String: Set<Int>] = [:]
  package var blocks: Set<String> = []
  /// What stands in for an attention's heads, for each of their columns; zeros where it has none.
  package var substitutes: [String: [Float]] = [:]

  package init(heads: [String: Set<Int>] = [:], blocks: Set<String> = []) {
    self.heads = heads
    self.blocks = blocks
  }

  /// - Parameter headCounts: of every attention.
  package func probe(headCounts: [String: Int]) -> UNetProbe {
    var probe = UNetProbe()
    probe.attended = { name, output in
      guard let silent = heads[name], let count = headCounts[name] else { return }
      let dimension = output.shape[-1] / count
      for head in silent {
        output.setColumns(head * dimension..<(head + 1) * dimension, to: substitutes[name])
      }
    }
    probe.finished = { name, output, skipped in
      if blocks.contains(name) { output = skipped() }
    }
    return probe
  }
}

extension DenseTensor<Float> {
  /// Sets columns of every row to their elements in `row`, or to 0.
  fileprivate mutating func setColumns(_ columns: Range<Int>, to row: [Float]?) {
    let width = shape[-1]
    withUnsafeMutableBufferPointer { elements in
      for first in stride(from: 0, to: elements.count, by: width) {
        for column in columns { elements[first + column] = row?[column] ?? 0 }
      }
    }
  }
}
