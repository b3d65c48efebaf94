import ArgumentParser

/// The number formats that networks keep their weights in.
enum WeightFormat: String, CaseIterable, Encodable, ExpressibleByArgument {
  case float32, float16, bfloat16, int8

  /// What there are kernels for.
  static let supported: [WeightFormat] = [.float32]

  var bytesPerWeight: Int {
    switch self {
    case .float32: 4
    case .float16, .bfloat16: 2
    case .int8: 1
    }
  }

  /// The peak that a kernel of this format is held against; half precision is widened and multiplied as float32.
  func peak(of peaks: MachinePeaks) -> Double {
    switch self {
    case .float32, .float16: peaks.float32
    case .bfloat16: peaks.bfloat16 ?? peaks.float32
    case .int8: peaks.int8 ?? peaks.float32
    }
  }

  func checkSupported() throws {
    guard !Self.supported.contains(self) else { return }
    let names = Self.supported.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("--precision \(rawValue): there is no such kernel yet, only \(names)")
  }
}
