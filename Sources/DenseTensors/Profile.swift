import Foundation
import Synchronization
import Tensors

/// What the layers of a network took in one run, in the order in which they ran.
public struct Profile: Sendable {
  /// What a layer does.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    case convolution, linear, attention
    case groupNorm = "group norm"
    case layerNorm = "layer norm"
    /// Activations, sums, and channels or pixels that are only moved.
    case elementwise
  }

  /// One call of one layer.
  public struct Layer: Hashable, Sendable {
    /// The name in the checkpoint. What has no weights goes by the module of the layer before it.
    public let name: String
    public let kind: Kind
    /// The sizes, for people to read.
    public let shape: String
    /// Floating-point operations, two for each product that a direct evaluation adds up; 0 where memory is the limit.
    public let operations: Double
    public let seconds: Double
  }

  public let layers: [Layer]
  /// The time of the whole run; what is missing in the sum of the layers went by between them.
  public let seconds: Double

  /// Runs `body`, in which threads share the layers, and records each that it calls, those of other callers left out.
  ///
  /// - Precondition: no profile is being recorded.
  public static func record<Result>(_ body: () throws -> Result) rethrows -> (result: Result, profile: Profile) {
    recording.withLock { recording in
      precondition(recording == nil, "a profile is being recorded")
      recording = Recording(thread: ObjectIdentifier(Thread.current))
    }
    isRecording.store(true, ordering: .relaxed)
    let start = ContinuousClock.now
    func finish() -> Profile {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      isRecording.store(false, ordering: .relaxed)
      return recording.withLock { recording in
        defer { recording = nil }
        return Profile(layers: recording?.layers ?? [], seconds: seconds)
      }
    }
    do {
      let result = try BatchParts.sharingLayers(body)
      return (result, finish())
    } catch {
      _ = finish()
      throw error
    }
  }

  private static let isRecording = Atomic<Bool>(false)
  private static let recording = Lock<Recording?>(nil)

  /// What one thread has called so far.
  private struct Recording {
    let thread: ObjectIdentifier
    var layers: [Layer] = []
    /// What holds the last layer that had a name: that layer's without its last part.
    var module = ""
  }
}

extension Profile {
  /// A layer's start.
  struct Timer {
    private let start = ContinuousClock.now

    /// Records the layer; without a name, under that of the module of the layer before.
    func stop(_ kind: Kind, name: String? = nil, shape: @autoclosure () -> String, operations: Double = 0) {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let thread = ObjectIdentifier(Thread.current)
      recording.withLock { recording in
        guard var current = recording, current.thread == thread else { return }
        recording = nil  // no copy of the layers
        if let name { current.module = name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name }
        current.layers.append(
          Layer(
            name: name ?? current.module, kind: kind, shape: shape(), operations: operations, seconds: seconds))
        recording = current
      }
    }

    /// Records a convolution or a linear layer.
    func stop(_ weights: PackedWeights, _ geometry: ConvolutionGeometry, from input: Shape, to output: Shape) {
      let (height, width) = weights.kernel
      let isLinear = height * width == 1
      let pixels = output.count / max(weights.width, 1)
      let picture = "\(input[0])x\(input[1])x\(input[2])"
      let change =
        (geometry.stride > 1 ? " /\(geometry.stride)" : "")
        + (geometry.upsampling > 1 ? " x\(geometry.upsampling)" : "")
      stop(
        isLinear ? .linear : .convolution, name: weights.name,
        shape: (isLinear ? "\(pixels)" : "\(picture) \(height)x\(width)\(change)")
          + ", \(weights.channels) to \(weights.outputs)",
        operations: 2 * Double(pixels * weights.outputs) * Double(weights.channels * height * width))
    }
  }

  /// The start of a layer that is computed, where a profile is being recorded.
  static func timer() -> Timer? {
    isRecording.load(ordering: .relaxed) && !ActivationArena.isRehearsing ? Timer() : nil
  }
}
