import DenseTensors
import Tensors

/// When the networks of a pipeline are in memory. Images have the same bits in any case.
public enum Residency: String, Hashable, Sendable, CaseIterable {
  /// All of them, for as long as the pipeline is.
  case resident
  /// Each while a run needs it: the text encoder, then the denoiser, then the decoder, every one read from the model's
  /// folder and freed afterwards. A run's images all wait for the decoder.
  case staged
}

/// A network that is in memory always, or for as long as somebody holds it.
final class NetworkSlot<Network: Sendable>: Sendable {
  /// Its configuration, names and sizes; there may be no weights in it.
  let outline: Network
  private let residency: Residency
  private let read: @Sendable () throws -> Network
  private let held = Lock(Reference())

  /// Keeps a network in memory.
  final class Hold: Sendable {
    let network: Network

    init(_ network: Network) { self.network = network }
  }

  private struct Reference {
    weak var hold: Hold?
  }

  /// - Parameter read: reads the network, or its outline.
  init(_ residency: Residency, _ read: @escaping @Sendable (_ isOutline: Bool) throws -> Network) rethrows {
    self.residency = residency
    self.read = { try read(false) }
    outline = try read(residency == .staged)
  }

  /// The network, which tasks that hold it at the same time share.
  ///
  /// - Throws: what reading it does, where it is not in memory.
  func hold() throws -> Hold {
    guard residency == .staged else { return Hold(outline) }
    return try held.withLock { reference in
      if let hold = reference.hold { return hold }
      // Of the network before this one, and then of what this one was read with.
      ProcessMemory.release()
      let hold = Hold(try read())
      ProcessMemory.release()
      reference.hold = hold
      return hold
    }
  }
}
